"""Whether a function can be sent to a worker at all: found out before anything runs."""

import functools
import inspect
import io
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle


def pickle(function: Callable[..., Any]) -> bytes:
    """Pickle the function as joblib does, or raise a ``TypeError`` that names the obstacle."""
    try:
        return _dumps(function)
    except Exception as error:
        raise TypeError(
            f"`function` cannot be sent to a worker: {error}{_obstacles(function)}. Make such "
            "objects inside the function."
        ) from error


class _Pickler(cloudpickle.Pickler):
    """Refuses open files, of which each worker would get a copy with a place of its own."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, io.TextIOWrapper) and value not in (sys.stdout, sys.stderr):
            raise TypeError(f"cannot pickle the open file {value.name!r}")
        return super().reducer_override(value)


def _dumps(value: object) -> bytes:
    with io.BytesIO() as buffer:
        _Pickler(buffer).dump(value)
        return buffer.getvalue()


def _obstacles(function: Callable[..., Any]) -> str:
    """Name the values that a function brings along and that cannot be pickled."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return ""
    used = inspect.getclosurevars(function)
    found = {
        "closure value": used.nonlocals,
        "global": used.globals,
        "default of the argument": _defaults(function),
    }
    names = [
        f"the {kind} `{name}` is a {type(value).__name__}"
        for kind, values in found.items()
        for name, value in values.items()
        if not _can_pickle(value)
    ]
    return f" ({', '.join(names)})" if names else ""


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _can_pickle(value: object) -> bool:
    try:
        _dumps(value)
    except Exception:
        return False
    return True
