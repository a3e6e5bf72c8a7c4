"""Gradient caching: a large batch in little memory, with exactly its own gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from l2s import checks


@checks.typed
def cached_backward(
    encoders: Sequence[Callable[[Any], Tensor]],
    inputs: Sequence[Any],
    loss: Callable[..., Tensor],
    *,
    chunk_size: int,
) -> Tensor:
    r"""Add to ``.grad`` what ``loss(encoders[0](inputs[0]), ...).backward()`` adds, in chunks.

    With the embeddings :math:`e_i = f(x_i;\theta)`, the chain rule needs the graph of one chunk of
    rows at a time, once the loss has left :math:`\partial L/\partial e_i` for all of them:

    .. math:: \frac{dL}{d\theta} = \sum_i \frac{\partial L}{\partial e_i}
        \frac{\partial f(x_i;\theta)}{\partial\theta}

    All rows are embedded without a graph, the loss is computed from all embeddings, then each chunk
    is embedded again with a graph. The random numbers of a chunk are the same both times, so that
    dropout is too: the result is the direct backward pass of embeddings made in these chunks. The
    cost is one more forward pass.

    Args:
        encoders: Functions, modules usually, from rows to embeddings of shape (rows, dim), each row
            on its own: no batch normalisation. The same one may stand twice.
        inputs: The rows of each encoder: anything with a length that a slice cuts.
        loss: From all embeddings, in the order of the encoders, to a scalar.
        chunk_size: Rows embedded at a time.

    Returns:
        The loss, without a graph.

    Raises:
        ValueError: Unequally many encoders and inputs, no rows, a chunk size below 1, batch
            normalisation, or a loss that is not a scalar.

    Source: the public code of gupta2024; the idea is also known as GradCache.

    >>> model = nn.Linear(3, 2)
    >>> rows = torch.randn(10, 3)
    >>> value = cached_backward([model], [rows], lambda z: z.logsumexp(0).sum(), chunk_size=4)
    >>> expected = torch.autograd.grad(model(rows).logsumexp(0).sum(), model.weight)[0]
    >>> torch.allclose(model.weight.grad, expected)
    True
    """
    checks.at_least("chunk_size", chunk_size, 1, "Pass rows at a time, 256 for example.")
    _check_encoders(encoders, inputs)
    passes = [
        _Pass(encoder, rows, chunk_size) for encoder, rows in zip(encoders, inputs, strict=True)
    ]
    embeddings = [one.embed() for one in passes]
    value = loss(*embeddings)
    if value.ndim:
        raise ValueError(
            f"`loss` returned shape {tuple(value.shape)}, but must return a scalar. Reduce it, "
            "for example with .mean()."
        )
    value.backward()
    for one, embedding in zip(passes, embeddings, strict=True):
        if embedding.grad is not None:
            one.push(embedding.grad)
    return value.detach()


class _Pass:
    """One encoder's rows, in chunks, with the random state before each."""

    def __init__(self, encoder: Callable[[Any], Tensor], rows: Any, chunk_size: int) -> None:
        starts = range(0, len(rows), chunk_size)
        self._encoder = encoder
        self._chunks = [rows[first : first + chunk_size] for first in starts]
        self._states: list[_RandomState] = []

    def embed(self) -> Tensor:
        """Return all embeddings as a leaf of the loss's graph."""
        parts = []
        with torch.no_grad():
            for chunk in self._chunks:
                self._states.append(_RandomState())
                parts.append(self._encoder(chunk))
        return torch.cat(parts).requires_grad_()

    def push(self, gradient: Tensor) -> None:
        """Embed each chunk again, and push its rows' gradients through."""
        first = 0
        for chunk, state in zip(self._chunks, self._states, strict=True):
            with state.again():
                embedding = self._encoder(chunk)
            embedding.backward(gradient[first : first + len(embedding)])
            first += len(embedding)


class _RandomState:
    """The state of the random streams now, of the CPU and of any GPU in use."""

    def __init__(self) -> None:
        in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if in_use else []

    @contextmanager
    def again(self) -> Iterator[None]:
        """Go back to this state inside a with block, and leave the streams as they were."""
        with torch.random.fork_rng(devices=range(len(self._cuda))):
            torch.set_rng_state(self._cpu)
            torch.cuda.set_rng_state_all(self._cuda)
            yield


def _check_encoders(encoders: Sequence[Any], inputs: Sequence[Any]) -> None:
    if len(encoders) != len(inputs) or not encoders:
        raise ValueError(
            f"`encoders` has {len(encoders)} entries and `inputs` {len(inputs)}. Pass one batch of "
            "rows for each encoder."
        )
    for place, rows in enumerate(inputs):
        checks.at_least(f"len(inputs[{place}])", len(rows), 1, "Pass some rows.")
    for encoder in encoders:
        # A bound method such as model.embed_queries belongs to a module.
        module = getattr(encoder, "__self__", encoder)
        layers = module.modules() if isinstance(module, nn.Module) else ()
        for layer in layers:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training:
                raise ValueError(
                    f"`encoders` hold {type(layer).__name__}, which mixes the rows of a chunk: the "
                    "gradients would not be those of the batch. Use nn.LayerNorm or .eval()."
                )
