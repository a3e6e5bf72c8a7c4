"""Feed-forward layers and attention that use a few of their neurons and keys, and the dense ones.

Training multiplies by zeros; decoding reads only what is used. Both give the same numbers.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from l2s import checks
from l2s.kernels.sparse_ffn import sparse_ffn
from l2s.kernels.statistical_topk import statistical_topk
from l2s.kernels.topk_attention import topk_attention, topk_attention_mask

_Tokens = Float[Tensor, "*batch dim"]
_Heads = Float[Tensor, "batch heads tokens head_dim"]


class GatedFFN(nn.Module):
    r"""The dense gated layer, :math:`y = (\operatorname{gelu}(x K_1^\top) \odot x K_2^\top)\, V`.

    Args:
        dim: The dimension of a token.
        width: The number of neurons; 3 · dim · width weights.

    Raises:
        ValueError: A size below 1.

    Source: Shazeer (2020), arXiv:2002.05202.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        checks.at_least("dim", dim, 1, "Pass the dimension of a token.")
        checks.at_least("width", width, 1, "Pass the number of neurons.")
        self.gate, self.keys = _rows(width, dim), _rows(width, dim)
        self.values = _rows(width, dim, scale=width**-0.5)

    @checks.typed
    def forward(self, x: _Tokens) -> _Tokens:
        """Return the layer's output for each token."""
        return self.hidden(x) @ self.values

    @checks.typed
    def hidden(self, x: _Tokens) -> Float[Tensor, "*batch width"]:
        """Return what the neurons say: the factors of the rows of V."""
        return functional.gelu(x @ self.gate.T) * (x @ self.keys.T)


class SparkFFN(nn.Module):
    r"""A gated layer whose gate sees r dimensions, and keeps about k of its neurons.

    .. math::
        y = \big( \operatorname{gelu}(\operatorname{STopk}_k(x_{:r} K_1^\top))
            \odot x_{r:} K_2^\top \big)\, V

    The split takes no extra weights: 2 · dim · width in all, so that a width of 3/2 of a dense
    gated layer's has as many. Since gelu(0) = 0, a neuron that is not kept says exactly 0, and
    :meth:`decode` reads neither its key nor its value.

    Args:
        dim: The dimension of a token, 2 or more.
        width: The number of neurons.
        k: How many neurons to keep, from 1 to ``width``; on average over normal scores.
        part: r, from 1 to dim - 1; half of ``dim`` if left out.
        exact: Keep the k largest scores themselves, found by sorting, in place of what is beyond
            the threshold. For comparison.

    Raises:
        ValueError: k outside 1 to ``width``, ``part`` outside 1 to dim - 1.

    Source: You et al. (2025), arXiv:2506.06644.

    >>> layer = SparkFFN(8, 64, 5)
    >>> x = torch.randn(3, 8)
    >>> torch.testing.assert_close(layer.decode(x), layer(x))
    """

    def __init__(
        self, dim: int, width: int, k: int, *, part: int | None = None, exact: bool = False
    ) -> None:
        super().__init__()
        self.part = dim // 2 if part is None else part
        checks.in_range("part", self.part, 1, dim - 1)
        checks.in_range("k", k, 1, width)
        self.k, self.exact = k, exact
        self.gate, self.keys = _rows(width, self.part), _rows(width, dim - self.part)
        self.values = _rows(width, dim, scale=width**-0.5)

    @checks.typed
    def gates(self, x: _Tokens) -> Float[Tensor, "*batch width"]:
        """Return what passes the gate: 0 for the neurons that are not kept."""
        scores = x[..., : self.part] @ self.gate.T
        if not self.exact:
            return functional.gelu(statistical_topk(scores, self.k))
        kept = torch.zeros_like(scores, dtype=torch.bool)
        kept.scatter_(-1, scores.topk(self.k, dim=-1).indices, value=True)
        return torch.where(kept, functional.gelu(scores), 0)

    @checks.typed
    def forward(self, x: _Tokens) -> _Tokens:
        """Return the layer's output for each token, by the dense products, for training."""
        return (self.gates(x) * (x[..., self.part :] @ self.keys.T)) @ self.values

    @checks.typed
    def decode(self, x: Float[Tensor, "tokens dim"]) -> Float[Tensor, "tokens dim"]:
        """Return the same for few tokens; only the rows of active neurons are read."""
        gates = self.gates(x)
        rest = x[:, self.part :]
        return sparse_ffn(
            rest, self.keys, self.values, gates != 0, gates=gates, activation="linear"
        )


class CausalAttention(nn.Module):
    r"""Attention to earlier tokens: to all of them, or to about top_k, as in Spark attention.

    With ``top_k`` the first r dimensions of each head predict which keys matter: p is their product
    over √r, s that of the other dimensions over √(d_h - r), and the logits are
    :math:`(p_j - \theta)\operatorname{softplus}(s_j)`. There are no extra weights. Places are told
    apart by rotating pairs of dimensions, as usual; both parts of a head rotate by themselves.

    Args:
        dim: The dimension of a token.
        heads: The number of heads, a divisor of ``dim``.
        top_k: How many keys to choose; None for all.
        part: r, even, from 2 to head dimension - 2; half of it if left out.

    Raises:
        ValueError: ``heads`` that does not divide, another ``part``.

    Source: You et al. (2025), arXiv:2506.06644; the rotation: Su et al. (2021), arXiv:2104.09864.
    """

    def __init__(
        self, dim: int, heads: int, *, top_k: int | None = None, part: int | None = None
    ) -> None:
        super().__init__()
        checks.at_least("dim", dim, 1, "Pass the dimension of a token.")
        checks.at_least("heads", heads, 1, "Pass the number of heads.")
        if dim % heads or dim // heads % 4:
            raise ValueError(
                f"`heads` is {heads}, but `dim` / `heads` must be a multiple of 4, and `dim` is "
                f"{dim}. Pass another number of heads."
            )
        self.heads, self.top_k, self.head_dim = heads, top_k, dim // heads
        self.part = self.head_dim // 2 if part is None else part
        if self.part % 2 or not 2 <= self.part <= self.head_dim - 2:
            raise ValueError(
                f"`part` is {self.part}, but must be even and from 2 to {self.head_dim - 2}. "
                "Pass how many dimensions of a head predict."
            )
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.join = nn.Linear(dim, dim, bias=False)

    @checks.typed
    def split(
        self, x: Float[Tensor, "batch tokens dim"], first: int = 0
    ) -> tuple[_Heads, _Heads, _Heads]:
        """Return queries, keys and values by heads; the tokens stand at ``first`` and after."""
        parts = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        places = torch.arange(first, first + x.shape[1], device=x.device)
        query, keys = self._rotated(parts[:2], places)
        return query, keys, parts[2]

    @checks.typed
    def attend(self, query: _Heads, keys: Tensor, values: Tensor) -> _Heads:
        """Attend from the last tokens of a context to all before them."""
        if self.top_k is None:
            behind = keys.shape[2] - query.shape[2]
            is_seen = None
            if query.shape[2] > 1:
                is_seen = query.new_ones(query.shape[2], keys.shape[2], dtype=torch.bool)
                is_seen = is_seen.tril(behind)
            return functional.scaled_dot_product_attention(query, keys, values, attn_mask=is_seen)
        return topk_attention(
            query,
            keys,
            values,
            top_k=self.top_k,
            predictor=self.part,
            form="spark",
            is_causal=True,
        )

    @checks.typed
    def chosen(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch heads tokens"]:
        """Return how many keys each query attends to."""
        query, keys, _ = self.split(x)
        if self.top_k is None:
            count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
            return count.expand(*query.shape[:3])
        scores = query[..., : self.part] @ keys[..., : self.part].mT
        kept = topk_attention_mask(scores, top_k=self.top_k, is_causal=True)
        return kept.sum(dim=-1).to(x.dtype)

    @checks.typed
    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Return what each token gathers from itself and the tokens before it."""
        return self.merge(self.attend(*self.split(x)))

    def merge(self, gathered: Tensor) -> Tensor:
        """Join the heads again."""
        return self.join(gathered.transpose(1, 2).flatten(2))

    def _rotated(self, x: Tensor, places: Tensor) -> Tensor:
        if self.top_k is None:
            return _rotate(x, places)
        first, second = x[..., : self.part], x[..., self.part :]
        # The operator scales the product of the second part alone.
        first = _rotate(first, places) * self.part**-0.25
        return torch.cat([first, _rotate(second, places)], dim=-1)


def _rows(neurons: int, dim: int, *, scale: float | None = None) -> nn.Parameter:
    """One neuron a row, so that a decoder reads a few of them in one piece each."""
    return nn.Parameter(torch.randn(neurons, dim) * (dim**-0.5 if scale is None else scale))


def _rotate(x: Tensor, places: Tensor) -> Tensor:
    """Turn pairs of dimensions by angles that grow with the place."""
    half = x.shape[-1] // 2
    rates = 100.0 ** (-torch.arange(half, device=x.device) / half)
    angles = places[:, None] * rates
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
