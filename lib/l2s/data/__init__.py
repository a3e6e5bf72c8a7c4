"""Data with known answers, and small real data that ships in a package.

Each loader takes a ``torch.Generator``, returns a named result with typed tensors, and says in
its docstring what is known exactly about it (its ground truth).
"""

from l2s.data.augment import TwoViews, two_view
from l2s.data.images import Digits, Images, digits
from l2s.data.sphere import SpherePairs, SphereWorld, sphere_world

__all__ = [
    "Digits",
    "Images",
    "SpherePairs",
    "SphereWorld",
    "TwoViews",
    "digits",
    "sphere_world",
    "two_view",
]
