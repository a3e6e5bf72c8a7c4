"""Data with known answers, and small real data that ships in a package.

Each function takes a ``torch.Generator``, returns a named result with typed tensors, and says in
its docstring what is known exactly about the data (their ground truth).
"""

from l2s.data.augment import TwoViews, two_view
from l2s.data.images import Digits, Images, digits
from l2s.data.signals import Mnist1d, Signals, mnist1d
from l2s.data.sphere import SpherePairs, SphereWorld, sphere_world
from l2s.data.synthetic import (
    GaussianMixture,
    LinearTeacher,
    NoisyLabels,
    flip_labels,
    gaussian_mixture,
    linear_teacher,
)

__all__ = [
    "Digits",
    "GaussianMixture",
    "Images",
    "LinearTeacher",
    "Mnist1d",
    "NoisyLabels",
    "Signals",
    "SpherePairs",
    "SphereWorld",
    "TwoViews",
    "digits",
    "flip_labels",
    "gaussian_mixture",
    "linear_teacher",
    "mnist1d",
    "sphere_world",
    "two_view",
]
