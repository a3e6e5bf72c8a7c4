"""A small Transformer that predicts the next character, dense or sparse."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from l2s import checks
from l2s.sparsity.statistical_topk.layers import CausalAttention, GatedFFN, SparkFFN


class _Block(nn.Module):
    def __init__(self, dim: int, attention: CausalAttention, ffn: GatedFFN | SparkFFN) -> None:
        super().__init__()
        self.before, self.between = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.attention, self.ffn = attention, ffn

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        y: Tensor = x + self.ffn(self.between(x))
        return y


@dataclass
class Cache:
    """Keys and values of the tokens so far: of each layer, shape (1, heads, room, head_dim)."""

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0


class CharacterModel(nn.Module):
    """A Transformer over characters whose layers are dense, or keep few neurons and keys.

    Args:
        symbols: The number of characters.
        dim: The dimension of a token.
        heads: Attention heads of each layer.
        layers: The number of layers.
        width: Neurons of a feed-forward layer.
        k: How many neurons a Spark layer keeps; None for dense gated layers.
        top_k: How many keys Spark attention chooses; None for attention to all.
        exact: Keep the k largest by sorting, in place of the threshold.

    Raises:
        ValueError: Sizes that do not fit; see :class:`SparkFFN` and :class:`CausalAttention`.

    Source: You et al. (2025), arXiv:2506.06644.

    >>> model = CharacterModel(96, 32, 2, 1, 64, k=5, top_k=8)
    >>> model(torch.zeros(3, 10, dtype=torch.long)).shape
    torch.Size([3, 10, 96])
    """

    def __init__(
        self,
        symbols: int,
        dim: int,
        heads: int,
        layers: int,
        width: int,
        *,
        k: int | None = None,
        top_k: int | None = None,
        exact: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least("symbols", symbols, 1, "Pass the number of characters.")
        checks.at_least("layers", layers, 1, "Pass the number of layers.")
        self.embed = nn.Embedding(symbols, dim)
        self.blocks = nn.ModuleList(
            _Block(
                dim,
                CausalAttention(dim, heads, top_k=top_k),
                GatedFFN(dim, width) if k is None else SparkFFN(dim, width, k, exact=exact),
            )
            for _ in range(layers)
        )
        self.norm, self.head = nn.RMSNorm(dim), nn.Linear(dim, symbols, bias=False)

    @checks.typed
    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens symbols"]:
        """Return the logits of the next character after each."""
        x = self.embed(tokens)
        for block in self._parts():
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits

    @checks.typed
    @torch.no_grad()
    def activity(self, tokens: Int[Tensor, "batch tokens"]) -> dict[str, Tensor]:
        """Return how much each layer uses.

        Returns:
            "neurons": the share of the neurons that say anything but 0, shape (layers, batch,
            tokens); "keys": how many keys a query attends to, mean over heads, the same shape.
        """
        x = self.embed(tokens)
        neurons, keys = [], []
        for block in self._parts():
            given = block.before(x)
            keys.append(block.attention.chosen(given).mean(dim=1))
            x = x + block.attention(given)
            given, ffn = block.between(x), block.ffn
            said = ffn.gates(given) if isinstance(ffn, SparkFFN) else ffn.hidden(given)
            neurons.append((said != 0).to(x.dtype).mean(dim=-1))
            x = x + ffn(given)
        return {"neurons": torch.stack(neurons), "keys": torch.stack(keys)}

    def _parts(self) -> list[_Block]:
        return cast("list[_Block]", list(self.blocks))

    def cache(self, room: int) -> Cache:
        """Return an empty cache for so many tokens, 1 or more."""
        checks.at_least("room", room, 1, "Pass how many tokens the cache is to hold.")
        shapes = [
            (1, block.attention.heads, room, block.attention.head_dim) for block in self._parts()
        ]
        like = self.embed.weight
        keys, values = ([like.new_zeros(shape) for shape in shapes] for _ in range(2))
        return Cache(keys, values)

    @checks.typed
    @torch.no_grad()
    def decode(self, token: Int[Tensor, "1"], cache: Cache) -> Float[Tensor, "1 symbols"]:
        """Return the logits after one more token, of shape (1,), whose keys join the cache.

        Spark layers read only the neurons that are active, and equal :meth:`forward`.

        Raises:
            ValueError: The cache is full.
        """
        room = cache.keys[0].shape[2]
        if cache.length == room:
            raise ValueError(f"`cache` holds {room} tokens and is full. Make one with more room.")
        x, here, after = self.embed(token), cache.length, cache.length + 1
        for block, keys, values in zip(self._parts(), cache.keys, cache.values, strict=True):
            query, key, value = block.attention.split(block.before(x)[None], here)
            keys[:, :, here:after], values[:, :, here:after] = key, value
            seen = block.attention.attend(query, keys[:, :, :after], values[:, :, :after])
            x = x + block.attention.merge(seen)[0]
            given, ffn = block.between(x), block.ffn
            x = x + (ffn.decode(given) if isinstance(ffn, SparkFFN) else ffn(given))
        cache.length = after
        logits: Tensor = self.head(self.norm(x))
        return logits
