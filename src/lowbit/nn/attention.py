"""`MultiheadAttention` with quantized weights and inputs of its projections; what is between them is real."""

from typing import Any

import torch
from torch import Tensor, nn

from lowbit.errors import UnsupportedError
from lowbit.nn.parts import Parts


class MultiheadAttention(Parts, nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` with quantized projections of queries, keys and values.

    The projection of the output, `out_proj`, is a layer of its own.
    """

    # So that encoders of torch do not read the weights of their layers themselves.
    _qkv_same_embed_dim = property(lambda self: False, lambda self, value: None)

    def rows(self) -> dict[str, Tensor]:
        """Return the weights of every part by its name."""
        if self.bias_k is not None or self.add_zero_attn:
            raise UnsupportedError(
                "attention with biases of keys or zeros has no low-bit form",
                expected="add_bias_kv=False, add_zero_attn=False",
            )
        return {name: weight for name, (weight, _) in self._weights().items()}

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs and weights, as the module of torch does."""
        single, given = query.ndim == 2, (query, key, value)
        if single:
            given = (query[None], key[None], value[None])
        elif not self.batch_first:
            given = (query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1))
        place, heads = self.next_place(), []
        for x, (name, (weight, bias)) in zip(given, self._weights().items(), strict=True):
            made = self.part(name, weight, bias, place)(x)
            heads.append(made.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2))  # type: ignore[no-untyped-call]
        scores = (heads[0] * self.head_dim**-0.5) @ heads[1].transpose(2, 3)
        for mask in (self._spread(attn_mask), _over_keys(key_padding_mask, single)):
            scores = scores if mask is None else _masked(scores, mask)
        weights = torch.softmax(scores, 3)
        dropped = nn.functional.dropout(weights, self.dropout, self.training)
        joined = (dropped @ heads[2]).transpose(1, 2).flatten(2)
        out = self.out_proj(joined)
        out = out[0] if single else out if self.batch_first else out.transpose(0, 1)
        if not need_weights:
            return out, None
        weights = weights.mean(1) if average_attn_weights else weights
        return out, weights[0] if single else weights

    def _weights(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Return weights and bias of every part."""
        width = self.embed_dim
        weights: list[Any] = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if weights[0] is None:
            weights = [self.in_proj_weight[n * width : (n + 1) * width] for n in range(3)]
        bias: Any = self.in_proj_bias
        biases = [None if bias is None else bias[n * width : (n + 1) * width] for n in range(3)]
        return dict(zip("qkv", zip(weights, biases, strict=True), strict=True))

    def _spread(self, mask: Any) -> Tensor | None:
        """Return a mask ``[t, s]`` or ``[n heads, t, s]`` for all heads."""
        heads: Tensor | None = mask
        return (
            heads if heads is None or heads.ndim == 2 else heads.reshape(-1, self.num_heads, *heads.shape[1:])
        )


def _over_keys(mask: Any, single: bool) -> Tensor | None:
    if mask is None:
        return None
    found: Tensor = (mask[None] if single else mask)[:, None, None, :]
    return found


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
