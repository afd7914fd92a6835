"""The call of a low-bit layer while a module is exported: brought into the form that the graph has.

Codes are read as rows ``[n, features]`` or maps ``[n, c, h, w]``. Tokens become maps of one tap, lines maps
of height 1, by moves that torch exports; passes take away those that meet.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lowbit.ir.graph import Attribute
from lowbit.nn import layers
from lowbit.nn.emission import Codes, LayerCall, transposed
from lowbit.nn.low_bit import LowBit
from lowbit.nn.opaque import Emit, Export, untraced
from lowbit.schemes.training.quantizer import InputQuantizer

Compute = Callable[[Tensor], Tensor]


def exported(
    export: Export, layer: LowBit, reads: InputQuantizer | None, x: Tensor, compute: Compute
) -> Tensor:
    """Return what a layer gives, as one node among moves."""
    with untraced():
        emit = _emit(export.name(layer), layer, reads)
        emit.shared, emit.key = export.shared, (id(layer), id(reads), len(x.shape))
    if isinstance(layer, layers.Linear):
        return _rows(export, layer, x, compute, emit)
    return _windows(export, layer, x, compute, emit)


def _emit(name: str, layer: LowBit, reads: InputQuantizer | None) -> LayerCall:
    """Return what writes a layer; its shape and window are set by its form."""
    has, weight, bias = layer.weight_quantizer, layer.outputs_first(layer.weight), layer.bias
    if has is not None and layer.activation.has_format and layer.weight_specification.has_format:
        bias = None if bias is None else has.bias(bias)  # type: ignore[assignment]
        return LayerCall(name, None, has.levels(weight), bias, tuple(weight.shape), {})
    codes: Codes | None = None if reads is None else (layer.input_encoding(reads), reads.thresholds())
    if has is None:
        return LayerCall(name, codes, weight, bias, tuple(weight.shape), {})
    made = has.levels(weight) if reads is None else layer.coded(weight)
    return LayerCall(name, codes, made, bias, tuple(weight.shape), {})


def _rows(export: Export, layer: LowBit, x: Tensor, compute: Compute, call: LayerCall) -> Tensor:
    if x.ndim == 2 or not call.is_coded:
        return export.call(x, compute, call)
    if x.ndim == 1:
        return export.call(x[None], lambda rows: compute(rows), call)[0]
    batch, export.moves = export.batch_axis(x), True
    maps = x.movedim(-1, 0).movedim(batch + 1, 0)  # [n, features, ...]
    flat = maps if maps.ndim == 4 else maps.unsqueeze(2) if maps.ndim == 3 else maps.flatten(3)
    call.shape, call.window = (*call.shape, 1, 1), _window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1)
    made = export.call(flat, lambda given: compute(given.movedim(1, -1)).movedim(-1, 1), call)
    back = (
        made
        if maps.ndim == 4
        else made.squeeze(2)
        if maps.ndim == 3
        else made.reshape(*made.shape[:3], *maps.shape[3:])
    )
    return back.movedim(0, batch + 1).movedim(0, -1)


def _windows(export: Export, layer: LowBit, x: Tensor, compute: Compute, call: LayerCall) -> Tensor:
    lines, single = layer.weight.ndim == 3, x.ndim < layer.weight.ndim
    source = x[None] if single else x
    original = source
    mode = getattr(layer, "padding_mode", "zeros")
    if mode != "zeros":
        source = functional.pad(source, layer._reversed_padding_repeated_twice, mode=mode)  # type: ignore[arg-type]
    window = _window_of(layer, source, lines)
    emit: Emit = call
    call.shape, call.window = _maps(call.shape) if lines else call.shape, window
    if isinstance(layer, layers.ConvTranspose1d | layers.ConvTranspose2d):
        emit = transposed(call)
    export.moves |= lines
    source = source.unsqueeze(2) if lines else source

    def computed(given: Tensor) -> Tensor:
        made = compute(original)
        return made.unsqueeze(2) if lines else made

    made = export.call(source, computed, emit)
    made = made.squeeze(2) if lines else made
    return made[0] if single else made


def _maps(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 1, *shape[2:])


def _window_of(layer: LowBit, x: Tensor, lines: bool) -> dict[str, Attribute]:
    """Return the attributes of the window on maps; those of a transposed one have its output padding."""
    kernel, strides, dilation = (tuple(getattr(layer, key)) for key in ("kernel_size", "stride", "dilation"))
    before, after = _pads(layer)
    more: tuple[int, ...] = ()
    if isinstance(layer, layers.ConvTranspose1d | layers.ConvTranspose2d):
        more = tuple(layer.more_outputs(x))
    if lines:
        kernel, strides, dilation = ((1, *each) for each in (kernel, strides, dilation))
        before, after, more = (0, *before), (0, *after), (0, *more) if more else ()
    window = _window(kernel, strides, (*before, *after), dilation, int(layer.groups))  # type: ignore[arg-type]
    return window | ({"output_padding": more} if any(more) else {})


def _pads(layer: LowBit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the zeros before and behind every axis; torch has one more behind where they are odd."""
    padding, rank = layer.padding, layer.weight.ndim - 2
    if getattr(layer, "padding_mode", "zeros") != "zeros" or padding == "valid":
        return (0,) * rank, (0,) * rank
    if padding == "same":
        sizes = zip(layer.dilation, layer.kernel_size, strict=True)  # type: ignore[arg-type]
        both = [dilation * (kernel - 1) for dilation, kernel in sizes]
        return tuple(each // 2 for each in both), tuple(each - each // 2 for each in both)
    return tuple(padding), tuple(padding)  # type: ignore[arg-type]


def _window(
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> dict[str, Attribute]:
    window: dict[str, Attribute] = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    window |= {"dilations": dilation} if set(dilation) != {1} else {}
    return window | ({"group": groups} if groups != 1 else {})
