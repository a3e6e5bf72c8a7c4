"""Argument checks: each error names the argument, its value and the remedy.

``typed`` checks types, dtypes and shapes from a function's own annotations (jaxtyping and
beartype); the other functions check what a shape cannot say, such as a positive temperature.
A wrong type or dtype is a ``TypeError``; a wrong shape or value is a ``ValueError``.
"""

import functools
import inspect
import itertools
import math
import reprlib
import typing
from collections.abc import Callable, Collection, Hashable
from typing import Any, ParamSpec, TypeVar

import torch
from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from jaxtyping import TypeCheckError, jaxtyped
from torch import Tensor
from torch.nn import Parameter

P = ParamSpec("P")
R = TypeVar("R")

# The numeric tower lets a caller write temperature=1 where the annotation says float.
_CONFIGURATION = BeartypeConf(is_pep484_tower=True)
_FORMS_KEPT = 256  # of calls that passed, for each function


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """Check a function's arguments against its annotations at every call.

    Axis names are bound across arguments, so ``query: Float[Tensor, "batch dim"]`` and
    ``key: Float[Tensor, "batch dim"]`` must agree in both axes. Under ``torch.compile`` the check
    steps aside, because the compiler cannot trace it. A call like one that passed before, down to
    each dtype and shape, passes at once.

    Args:
        function: A function whose parameters are annotated with Python or jaxtyping types.

    Returns:
        The same function, which raises before its body runs: ``TypeError`` for a wrong type or
        dtype, ``ValueError`` for a wrong shape.

    >>> from jaxtyping import Float
    >>> @typed
    ... def dot(a: Float[Tensor, "n"], b: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    ...     return a @ b
    >>> dot(torch.ones(3), torch.ones(3))
    tensor(3.)
    >>> dot(torch.ones(3), torch.ones(2))
    Traceback (most recent call last):
    ValueError: dot: `b` has shape (2,), but needs the axes 'n' (given beside it: a of shape...
    """
    strict = jaxtyped(typechecker=beartype(conf=_CONFIGURATION))(function)
    plain, passed = _plain(function), set[Hashable]()

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        form = _form(args, kwargs, plain)
        if form in passed:
            return function(*args, **kwargs)
        try:
            result = strict(*args, **kwargs)
        except TypeCheckError as error:
            readable = _explain(function, args, kwargs)
            if readable is None:  # the return value is at fault: our bug, shown in full
                raise
            raise readable from error.with_traceback(None)
        if form is not None:
            if len(passed) == _FORMS_KEPT:
                passed.clear()
            passed.add(form)
        return result

    return checked


def _plain(function: Callable[..., Any]) -> frozenset[int | str]:
    """The places and names of parameters of which a check sees no more than the type."""
    parameters = inspect.signature(function).parameters
    plain: set[int | str] = set()
    for place, (name, parameter) in enumerate(parameters.items()):
        hint = parameter.annotation  # that of `self` is missing, and never checked
        is_tensor = hasattr(hint, "dim_str")
        if inspect.isclass(hint) and not is_tensor and not typing.get_args(hint):
            plain |= {place, name}
    return frozenset(plain)


def _form(args: tuple[Any, ...], kwargs: dict[str, Any], plain: frozenset[int | str]) -> Hashable:
    """All that a check of types, dtypes and shapes sees of a call, or None where it sees more."""
    form: list[Hashable] = []
    for place, value in itertools.chain(enumerate(args), kwargs.items()):
        kind = type(value)
        if kind is Tensor or kind is Parameter:
            form.append((place, kind, value.dtype, value.shape))
        elif place in plain or kind is float:  # any other of its type passes or fails with it
            form.append((place, kind))
        elif kind is int or kind is str or kind is bool or value is None:
            form.append((place, kind, value))
        elif kind is tuple and (inner := _form(value, {}, frozenset())) is not None:
            form.append((place, inner))
        else:
            return None
    return tuple(form)


def positive(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"`{name}` is {value!r}, but must be finite and above 0. Pass a positive number."
        )


def not_negative(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number, 0 or above."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"`{name}` is {value!r}, but must be finite and at least 0. Pass 0 or more."
        )


def at_least(name: str, value: int, minimum: int, remedy: str) -> None:
    """Raise ``ValueError`` with the given remedy where ``value`` is below ``minimum``."""
    if value < minimum:
        raise ValueError(f"`{name}` is {value}, but must be at least {minimum}. {remedy}")


def in_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ``ValueError`` unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise ValueError(
            f"`{name}` is {value!r}, but must lie between {low} and {high}. "
            "Pass a number in that range."
        )


def one_of(name: str, value: object, allowed: Collection[object]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of the allowed ones."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"`{name}` is {value!r}. Pass one of {choices}.")


def has_dim(name: str, tensor: Tensor, dim: int) -> None:
    """Raise ``ValueError`` unless ``tensor`` has the dimension ``dim``, counted from either end."""
    if not -tensor.dim() <= dim < tensor.dim():
        raise ValueError(
            f"`dim` is {dim}, but `{name}` has shape {tuple(tensor.shape)}. Pass a dimension that "
            "it has."
        )


def finite(name: str, tensor: Tensor) -> None:
    """Raise ``ValueError`` where a tensor holds NaN or an infinity, and say how many."""
    if sum_is_finite(tensor):
        return
    wrong = int((~torch.isfinite(tensor)).sum())
    if wrong:
        raise ValueError(
            f"`{name}` holds {wrong} values that are NaN or infinite, out of {tensor.numel()}. "
            "Remove them, or lower the step size that made them."
        )


def sum_is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor has a finite sum: then no entry is NaN or infinite.

    The reverse does not hold, as a sum may overflow; but it takes one pass and no memory.
    """
    return math.isfinite(tensor.detach().sum(dtype=_wide(tensor.dtype)).item())


def same_dtype(**tensors: Tensor) -> None:
    """Raise ``TypeError`` unless all tensors share one dtype."""
    first, *others = tensors.values()
    if any(tensor.dtype != first.dtype for tensor in others):
        dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
        found = ", ".join(f"`{name}` is {_short(dtype)}" for name, dtype in dtypes.items())
        raise TypeError(f"{found}; they must share one dtype. Convert one with .to(other.dtype).")


def same_device(**tensors: Tensor) -> None:
    """Raise ``ValueError`` unless all tensors are on one device."""
    first, *others = tensors.values()
    if any(tensor.device != first.device for tensor in others):
        devices = {name: tensor.device for name, tensor in tensors.items()}
        found = ", ".join(f"`{name}` is on {device}" for name, device in devices.items())
        raise ValueError(f"{found}; they must share one device. Move one with .to(other.device).")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _explain(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Exception | None:
    """Find the first argument that does not fit, and say how to mend the call."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    hints = typing.get_type_hints(function, include_extras=True)
    shapes: list[str] = []
    with jaxtyped("context"):  # binds the axis names of the arguments that do fit
        for name, value in bound.arguments.items():
            hint = hints.get(name, Any)
            if not is_bearable(value, hint, conf=_CONFIGURATION):
                return _misfit(function.__name__, name, value, hint, shapes)
            if isinstance(value, Tensor):
                shapes.append(f"{name} of shape {tuple(value.shape)}")
    return None


def _misfit(function: str, name: str, value: object, hint: Any, shapes: list[str]) -> Exception:
    arrays = [option for option in (hint, *typing.get_args(hint)) if hasattr(option, "dim_str")]
    if not arrays:
        return TypeError(
            f"{function}: `{name}` is {reprlib.repr(value)} of type {type(value).__name__}, "
            f"but must be {_type_name(hint)}. Pass a value of that type."
        )
    axes = " or ".join(repr(array.dim_str) for array in arrays)
    if not isinstance(value, Tensor):
        return TypeError(
            f"{function}: `{name}` is {reprlib.repr(value)} of type {type(value).__name__}, but "
            f"must be a tensor with the axes {axes}. Wrap it with torch.as_tensor(...)."
        )
    dtypes = [dtype for array in arrays for dtype in array.dtypes]
    if _short(value.dtype) not in dtypes:
        kind = " or ".join(array.__name__.split("[")[0].lower() for array in arrays)
        return TypeError(
            f"{function}: `{name}` has dtype {_short(value.dtype)}, but must be a {kind} tensor. "
            f"Convert it, for example with {name}.{'float' if 'float' in kind else 'long'}()."
        )
    beside = f" (given beside it: {'; '.join(shapes)})" if shapes else ""
    return ValueError(
        f"{function}: `{name}` has shape {tuple(value.shape)}, but needs the axes {axes}{beside}. "
        "Pass a tensor whose axes match."
    )


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
