"""The cells of a sweep: every setting of a grid beside every seed, checked before anything runs."""

import inspect
import itertools
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Setting = dict[str, Any]

_ALLOWED = "numbers (not NaN), strings, bools, None and tuples of these"


class Task(NamedTuple):
    """One cell to run: its place in the sweep's order, its settings and its seed."""

    place: int
    settings: Setting
    seed: int

    @property
    def key(self) -> str:
        """The cell's name in a store: equal for equal settings and seed, whatever their order."""
        return json.dumps([self.settings, self.seed], sort_keys=True)


def read_grid(grid: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Setting]:
    """List the settings of a grid in order: the product of a mapping, or the sequence as it is."""
    if len(grid) == 0:
        raise ValueError(
            f"`grid` is {grid!r}, which holds no setting. Pass a mapping from names to lists of "
            "values, or a list of settings."
        )
    if isinstance(grid, Mapping):
        axes = {name: _axis(name, values) for name, values in grid.items()}
        settings = [
            dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())
        ]
    else:
        settings = [_setting(place, setting) for place, setting in enumerate(grid)]
    for setting in settings:
        _check_names(setting)
    _refuse_twins("grid", settings, [frozenset(setting.items()) for setting in settings])
    return settings


def read_seeds(seeds: Iterable[Any]) -> tuple[int, ...]:
    """Return the seeds as a tuple of Python integers, in the order given."""
    found = tuple(_seed(seed) for seed in seeds)
    if not found:
        raise ValueError("`seeds` is empty. Pass at least one seed, such as seeds=range(3).")
    _refuse_twins("seeds", found, found)
    return found


def check_signature(function: Callable[..., Any], settings: Sequence[Setting]) -> None:
    """Raise ``TypeError`` unless the function can be called with each setting and a seed."""
    if inspect.iscoroutinefunction(function):
        raise TypeError("`function` is a coroutine function. Pass a plain function.")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C do not tell
        return
    for setting in settings:
        try:
            signature.bind(seed=0, **setting)
        except TypeError as error:
            names = ", ".join(["seed", *setting])
            raise TypeError(
                f"`function` has the parameters {signature}, but is called with the keywords "
                f"{names}: {error}. Give it one keyword parameter for each setting, and `seed`."
            ) from None


def _axis(name: object, values: object) -> list[Any]:
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return [_plain(f"grid[{name!r}]", value) for value in values]
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise TypeError(
            f"`grid[{name!r}]` is {values!r} of type {type(values).__name__}, but must be a list "
            f"of values. Pass [{values!r}] for a single value."
        )
    if not values:
        raise ValueError(f"`grid[{name!r}]` is empty. Pass at least one value, or drop the name.")
    return [_plain(f"grid[{name!r}]", value) for value in values]


def _setting(place: int, setting: object) -> Setting:
    if not isinstance(setting, Mapping):
        raise TypeError(
            f"`grid[{place}]` is {setting!r} of type {type(setting).__name__}, but must be a "
            "mapping from names to values. Pass a list of dicts."
        )
    return {name: _plain(f"grid[{place}][{name!r}]", value) for name, value in setting.items()}


def _check_names(setting: Setting) -> None:
    for name in setting:
        if not isinstance(name, str):
            raise TypeError(f"`grid` names a setting {name!r}. Name it by a string.")
        if name == "seed":
            raise ValueError("`grid` names a setting 'seed'. Pass the seeds by `seeds=` instead.")


def _plain(name: str, value: Any) -> Any:
    """Return a setting's value as a plain, hashable Python object."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is tuple:
        return tuple(_plain(name, item) for item in value)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"`{name}` holds NaN, which equals nothing. Use None for 'not given'.")
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"`{name}` holds {value!r} of type {type(value).__name__}; a setting's value may be "
        f"{_ALLOWED}. Pass a name, and build the object inside the function."
    )


def _seed(seed: object) -> int:
    if isinstance(seed, bool | np.bool_):
        raise TypeError(f"`seeds` holds {seed!r}, but must hold integers. Pass seeds=range(3).")
    try:
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"`seeds` holds {seed!r} of type {type(seed).__name__}, but must hold integers. "
            "Pass for example seeds=range(3)."
        ) from None


def _refuse_twins(name: str, values: Sequence[Any], keys: Sequence[Any]) -> None:
    seen = set()
    for value, key in zip(values, keys, strict=True):
        if key in seen:
            raise ValueError(
                f"`{name}` holds {value!r} twice (1, 1.0 and True are equal). Drop one."
            )
        seen.add(key)
