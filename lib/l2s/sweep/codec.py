"""Results of a cell as text and back, exactly: no pickle is ever read from a file.

Numbers keep every bit (NaN and infinities included), arrays keep dtype and shape. A result passes
through here whether it is fresh or answered from a store, so both look the same.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ALLOWED = (
    "numbers, strings, bools, None, lists of these, numpy arrays of numbers or bools, CPU tensors"
)


def encode(values: object) -> str:
    """Write the metrics that one cell returned as one line of JSON.

    Raises:
        TypeError: If ``values`` is not a mapping from names to storable values.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"the function returned {_short(values)} of type {type(values).__name__}, but must "
            'return a mapping from metric names to values. Return a dict such as {"accuracy": 0.9}.'
        )
    for name in values:
        if not isinstance(name, str):
            raise TypeError(f"the function returned a metric named {name!r}. Name it by a string.")
    return json.dumps({name: _pack(value, name) for name, value in values.items()})


def decode(text: str) -> dict[str, Any]:
    """Read the metrics that ``encode`` wrote."""
    return {name: _unpack(value) for name, value in json.loads(text).items()}


def _pack(value: object, name: str) -> object:
    if isinstance(value, Tensor):
        value = _as_array(value, name)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        data = base64.b64encode(little.tobytes()).decode("ascii")
        return {"dtype": little.dtype.str, "shape": value.shape, "data": data}
    if isinstance(value, list | tuple):
        return [_pack(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"the metric {name!r} is {_short(value)} of type {type(value).__name__}, which cannot be "
        f"stored. Return {_ALLOWED}."
    )


def _as_array(tensor: Tensor, name: str) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(
            f"the metric {name!r} is a tensor on {tensor.device}. Return it with .cpu(), or as a "
            "number with .item()."
        )
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16; float32 holds each value exactly
        tensor = tensor.float()
    return tensor.numpy()


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if isinstance(value, dict):
        flat = np.frombuffer(base64.b64decode(value["data"]), dtype=value["dtype"])
        return flat.reshape(value["shape"]).copy()
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
