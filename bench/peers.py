"""Public implementations that tests and benchmarks compare with."""

import importlib
from types import ModuleType

import torch


def lightly_loss() -> ModuleType:
    """Import ``lightly.loss``, also where torchvision's compiled operators do not fit torch.

    lightly imports torchvision, whose Python code registers shapes for operators that it expects to
    be compiled. Naming them first is enough: no loss calls them.
    """
    _name_operators()
    return importlib.import_module("lightly.loss")


def metric_learning_losses() -> ModuleType:
    """Import the losses of pytorch-metric-learning."""
    return importlib.import_module("pytorch_metric_learning.losses")


def optional(name: str) -> ModuleType | None:
    """Import a peer, or None where it is not installed (some do not support every Python)."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_named: list[torch.library.Library] = []  # an operator lives as long as its library object


def _name_operators() -> None:
    if _named or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _named.append(library)
