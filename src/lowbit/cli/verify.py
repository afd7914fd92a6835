"""``lowbit verify``: whether a network means the same integers in every back end, with a certificate."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.backends import BACKENDS
from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    SplitOption,
    parse_normalize,
    parse_scale,
    print_json,
    print_table,
    say,
    tracked,
)

if TYPE_CHECKING:
    from lowbit.verification import Verification

_STYLES = {"equal": "green", "rounded": "yellow", "differs": "bold red", "not run": "dim"}


def verify(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Samples: a path or a name; random pixels without it.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network that it was made of.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="How many of them.")] = 32,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            show_default="all",
            help=f"Only this one, such as engine, engine:avx2 or {', '.join(BACKENDS)}. May be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", show_default="beside the network", help="The certificate to write."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Check this certificate instead, made elsewhere.")
    ] = None,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    byte: Annotated[
        str | None,
        typer.Option(
            "--byte", show_default="1/255", help="Hardware: what a byte is multiplied by; 1/16 for digits."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a network means the same integers in every back end, and certify it.

    Example: `lowbit verify mlp.circle --against mlp.onnx --data digits`
    """
    if certificate is not None:
        _check(model, certificate, as_json)
        return
    from lowbit.verification import verify as verified

    with tracked("back ends") as advance:
        made = verified(
            model,
            data,
            against=against,
            backends=tuple(backend or ()),
            samples=samples,
            split=split or "test",
            normalize=parse_normalize(normalize),
            byte=parse_scale(byte),
            progress=advance,
        )
    target = output or model.with_name(f"{model.name}.certificate.json")
    if made.equal:
        made.certificate.write(target)
    if as_json:
        print_json({**made.to_dict(), "certificate": str(target) if made.equal else None})
    else:
        _print(made, target)
    made.require_equal()


def _print(made: "Verification", target: Path) -> None:
    cells = [(row.name, row.status, row.samples or "", row.values or "") for row in made.rows]
    title = f"{made.network}: {made.samples} samples of {made.data}, beside the definition"
    print_table(title, ("back end", "integers", "samples", "values"), cells)
    for row in made.rows:
        if row.explanation:
            say(f"{row.name}: {row.explanation}", _STYLES[row.status])
    if made.fidelity is not None:
        near, agreement = made.fidelity, made.fidelity.agreement
        classes = "" if agreement is None else f"the same class on {agreement:.1%}, "
        say(f"beside the float network: {classes}{near.output_snr_db:.1f} dB")
    if made.equal:
        again = shlex.join(["lowbit", "verify", made.network, "--certificate"])
        say(f"{target}: the certificate; check it elsewhere: {again} FILE")


def _check(model: Path, certificate: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from lowbit.verification import check

    found = check(model, certificate)
    if as_json:
        print_json({"equal": True, **asdict(found)})
        return
    say(f"{model}: {found.vectors} samples give the certificate's outputs, {found.codes} values its codes")
    say(_where(found.made, found.rows), "dim")


def _where(made: dict[str, Any], rows: tuple[dict[str, Any], ...]) -> str:
    names = ", ".join(str(row.get("backend")) for row in rows if row.get("samples"))
    return (
        f"made {made.get('date')} by lowbit {made.get('lowbit')} on {made.get('machine')}; equal in {names}"
    )
