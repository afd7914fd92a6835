"""Where tasks run: processes of this machine, or Dask's or Ray's workers, all by way of joblib.

``loky`` needs nothing further. ``dask`` and ``ray`` start workers here, or use those of an address
(``tcp://host:8786``, ``ray://host:10001``), which need lowbit and see no files of ours: tasks carry what
they need.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, TypeVar

from lowbit.errors import MissingExtra, PlanError

Result = TypeVar("Result")

_CHUNK = 4  # tasks of each worker at a time, where a backend gives results only all together


def run_parallel(
    work: Callable[..., Result],
    items: Sequence[tuple[Any, ...]],
    backend: str,
    jobs: int,
    address: str | None = None,
) -> Iterator[tuple[int, Result]]:
    """Yield the position and result of every item, as they are finished.

    Args:
        work: a function of a module.
        items: its arguments, plain data; large ones that several share are sent once.
        backend: a key of `BACKENDS`.
        jobs: how many at a time.
        address: of workers that are there already; only with ``dask`` and ``ray``.

    Raises:
        PlanError: an unknown backend, or an address where there can be none.
        MissingExtra: the backend is not installed.
    """
    if backend not in BACKENDS:
        raise PlanError("unknown backend", expected=" or ".join(BACKENDS), found=repr(backend))
    if address is not None and backend == "loky":
        raise PlanError("loky runs on this machine alone", expected="--backend dask or ray", found=address)
    joblib = _imported("joblib", "report")
    options: dict[str, Any] = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with BACKENDS[backend](jobs, address), joblib.parallel_config(backend=backend, **options):
        as_they_come = backend != "ray"
        numbered = [joblib.delayed(_numbered)(work, index, *item) for index, item in enumerate(items)]
        size = len(numbered) if as_they_come else _CHUNK * jobs
        for start in range(0, len(numbered), max(size, 1)):
            way = "generator_unordered" if as_they_come else "list"
            yield from joblib.Parallel(jobs, return_as=way, batch_size=1)(numbered[start : start + size])


def _numbered(work: Callable[..., Result], index: int, *item: Any) -> tuple[int, Result]:
    return index, work(*item)


@contextmanager
def _loky(jobs: int, address: str | None) -> Iterator[None]:
    yield


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[None]:
    distributed = _imported("distributed", "dask")
    with ExitStack() as stack:
        if address is None:
            cluster = distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
            )
            address = stack.enter_context(cluster).scheduler_address
        stack.enter_context(distributed.Client(address))
        yield


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[None]:
    ray = _imported("ray", "ray")
    chosen = {"address": address} if address else {"num_cpus": jobs, "include_dashboard": False}
    ray.init(**chosen, logging_level="ERROR")
    import_module("ray.util.joblib").register_ray()
    try:
        yield
    finally:
        ray.shutdown()


def _imported(package: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(package, extra) from error


BACKENDS: dict[str, Callable[[int, str | None], Any]] = {"loky": _loky, "dask": _dask, "ray": _ray}
"""Backends by name: each makes its workers and takes them away again."""
