"""How a function becomes one of PyTorch's operators: autograd and torch.compile see one op.

``torch.library.custom_op`` does the same, and at every call looks, in Python, whether a result
shares memory with an argument. ``torch.library.opcheck`` sees that once, in the operators' tests. A
call that finds the caches cold takes .1 to .2 ms less without it, and .06 ms less where ``call``
passes by the layer that records gradients.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch


def registered(name: str) -> Callable[[Callable[..., Any]], torch._ops.OpOverload[..., Any]]:
    """A decorator: register a function of tensors as the operator l2s::name, and return that.

    The function changes none of its arguments, and no result shares memory with one. For the
    compiler and for autograd the operator needs ``torch.library.register_fake`` and
    ``torch.library.register_autograd``.

    >>> @registered("twice_in_an_example")
    ... def twice(x: torch.Tensor) -> torch.Tensor:
    ...     return 2 * x
    >>> twice(torch.ones(2))
    tensor([2., 2.])
    """

    def register(function: Callable[..., Any]) -> torch._ops.OpOverload[..., Any]:
        schema = torch.library.infer_schema(function, mutates_args=())
        _library().define(name + schema, tags=[torch.Tag.pt2_compliant_tag])
        _library().impl(name, function, "CompositeExplicitAutograd")
        operator = getattr(torch.ops.l2s, name).default
        operator.__wrapped__ = function  # for those who ask where it comes from
        return operator

    return register


@functools.cache
def _library() -> torch.library.Library:
    """The operators' namespace: they live as long as this object."""
    return torch.library.Library("l2s", "FRAGMENT")


def call(operator: torch._ops.OpOverload[..., Any], *arguments: Any) -> Any:
    """Call an operator, in no-grad mode without the layer that would record it for a gradient."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return operator(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)
