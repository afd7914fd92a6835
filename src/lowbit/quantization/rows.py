"""A layer as rows of weights over columns of inputs, whatever its kind.

A fully connected layer is one group: weights ``[o, n]``, every sample a row of inputs. A convolution has a
row per output channel over (kh, kw, c / group), and what it reads is a window. Windows are sampled, and
padding is zero in them, as it is in the layer: zero is no level of the input's codes, and need not be one.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.window import Axis

Array = npt.NDArray[np.float64]
Positions = tuple[npt.NDArray[np.intp], ...]


@dataclass(frozen=True)
class Rows:
    """How a layer reads its input.

    Attributes:
        axes: of its window; none for a fully connected layer.
        groups: how many parts its channels fall into.
    """

    axes: tuple[Axis, ...]
    groups: int

    @classmethod
    def of(cls, graph: Graph, layer: Node) -> "Rows":
        """Return how a float layer reads its input."""
        if layer.op == "Gemm":
            return cls((), 1)
        call = call_of(graph, layer)
        kernel = tuple(int(extent) for extent in call.input(1).shape[2:])
        return cls(tuple(windows_of(call, kernel)), call.integer("group"))

    def matrix(self, weights: npt.NDArray[Any]) -> Array:
        """Return the weights of every group, `[groups, o / groups, d]`, in the order of packed ones."""
        moved = np.moveaxis(weights, 1, -1).astype(np.float64)
        return np.ascontiguousarray(moved.reshape(self.groups, len(weights) // self.groups, -1))

    def weights(self, rows: Array, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return weights of that shape from rows `[o, d]`, float32: the inverse of `matrix`."""
        moved = rows.reshape(shape[0], *shape[2:], shape[1])
        return np.ascontiguousarray(np.moveaxis(moved, -1, 1), dtype=np.float32)

    def packed_shape(self, weights: npt.NDArray[Any]) -> tuple[int, ...]:
        """Return the shape of packed weights: `(o, n)` or `(o, kh, kw, c / group)`."""
        return tuple(np.moveaxis(weights, 1, -1).shape)

    def positions(self, samples: npt.NDArray[np.intp], windows: npt.NDArray[np.intp]) -> Positions:
        """Return windows, counted through each sample, as indices of samples and along every axis."""
        if not self.axes:
            return (samples,)
        return (samples, *np.unravel_index(windows, [axis.outputs for axis in self.axes]))

    def windows(self) -> int:
        """Return how many windows a sample has; the row of a fully connected layer is one."""
        return prod(axis.outputs for axis in self.axes)

    def inputs(self, values: npt.NDArray[Any], positions: Positions) -> npt.NDArray[Any]:
        """Return what the layer reads there, `[groups, m, d]`, from its input `[n, c, ...]` in reals."""
        if not self.axes:
            return values[positions][None]
        image = np.pad(np.moveaxis(values, 1, -1), [(0, 0), *[(0, 1)] * len(self.axes), (0, 0)])
        index: list[npt.NDArray[np.intp]] = [positions[0].reshape(-1, *[1] * len(self.axes))]
        for number, (axis, place) in enumerate(zip(self.axes, positions[1:], strict=True)):
            # The row after the last is the padding, all zeros.
            taps = np.where(axis.valid(), axis.positions(), axis.extent)[place]
            shape = [len(place), *[1] * len(self.axes)]
            shape[1 + number] = axis.kernel
            index.append(taps.reshape(shape))
        patches = image[tuple(index)]
        channels = patches.shape[-1] // self.groups
        grouped = patches.reshape(*patches.shape[:-1], self.groups, channels)
        size = channels * prod(patches.shape[1:-1])
        return np.moveaxis(grouped, -2, 0).reshape(self.groups, len(patches), size)

    def outputs(self, values: npt.NDArray[Any], positions: Positions) -> npt.NDArray[Any]:
        """Return what the layer gives there, `[groups, m, o / groups]`, from its output `[n, o, ...]`."""
        found = np.moveaxis(values, 1, -1)[positions]
        return np.moveaxis(found.reshape(len(found), self.groups, found.shape[-1] // self.groups), 1, 0)
