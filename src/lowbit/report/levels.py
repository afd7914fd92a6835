"""Levels over histograms: what codes stand for, where one ends and the next begins, and how they are used."""

from lowbit.page import Markup, element, joined, name
from lowbit.page.charts import histogram
from lowbit.report.findings import Findings
from lowbit.report.histograms import LevelPicture
from lowbit.report.numbers import THIN, percent

_LISTED = 8  # levels up to which their shares are written out
_SAME = 0.01  # factors nearer to one than this are not told


def section(found: Findings) -> Markup | None:
    """Return a drawing for the weights of every layer and for every coded value."""
    if not found.pictures:
        return None
    parts = []
    for kind, title in (("weights", "Weights, one neuron of each layer"), ("activations", "Between layers")):
        cards = [_card(each) for each in found.pictures if each.use.kind == kind]
        if cards:
            parts += [element("h3", title), element("div", *cards, class_="cards")]
    return joined((_key(found), *parts))


def _key(found: Findings) -> Markup:
    mass = "what codes stand for, where levels are many"
    if found.origin is not None:
        mass = "the float network's; × is a factor where its scale is another"
    return element(
        "p",
        element("span", element("i", class_="key"), "levels, as high as they are often used"),
        element("span", element("i", class_="key line"), "thresholds"),
        element("span", element("i", class_="key second"), mass),
        class_="soft keys",
    )


def _card(picture: LevelPicture) -> Markup:
    drawn = histogram(
        picture.counts,
        picture.edges,
        picture.levels,
        picture.thresholds,
        picture.shares,
        about=f"levels of {picture.use.name}",
    )
    return element(
        "div", element("h3", name(picture.use.name)), drawn, element("p", _caption(picture)), class_="card"
    )


def _caption(picture: LevelPicture) -> str:
    use = picture.use
    parts = [] if picture.neuron is None else [f"neuron {picture.neuron} of {picture.neurons:,}"]
    parts.append(f"{use.entropy:.2f} of {use.bits} bit{'s' if use.bits > 1 else ''} used")
    if use.unused > 0.0005:
        parts.append(f"{percent(use.unused, 1)} of levels unused")
    total = max(sum(use.counts), 1)
    if len(use.counts) <= _LISTED:
        shares = "/".join(f"{100 * count / total:.0f}" for count in use.counts)
        parts.append(f"levels {shares}{THIN}%")
    if abs(picture.factor - 1) > _SAME:
        what = "levels" if use.kind == "weights" else "float values"
        parts.append(f"{what} × {picture.factor:.3g}")
    return " · ".join(parts)
