"""Data with known answers, and small real data that ships in a package.

Each function takes a ``torch.Generator``, returns a named result with typed tensors, and says in
its docstring what is known exactly about the data (their ground truth).
"""

from l2s.data.augment import TwoViews, two_view
from l2s.data.bags import Bags, bags
from l2s.data.characters import Characters, python_manual, windows
from l2s.data.eur_lex import Documents, EurLex, eur_lex
from l2s.data.images import Digits, Images, digits
from l2s.data.label_sets import label_lists, label_mask
from l2s.data.retrieval import (
    LabelledQueries,
    LabelRetrieval,
    QueryDocumentPairs,
    UnequalQueries,
    label_retrieval,
    unequal_queries,
)
from l2s.data.see_also import Pages, SeeAlso, see_also
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
    "Bags",
    "Characters",
    "Digits",
    "Documents",
    "EurLex",
    "GaussianMixture",
    "Images",
    "LabelRetrieval",
    "LabelledQueries",
    "LinearTeacher",
    "Mnist1d",
    "NoisyLabels",
    "Pages",
    "QueryDocumentPairs",
    "SeeAlso",
    "Signals",
    "SpherePairs",
    "SphereWorld",
    "TwoViews",
    "UnequalQueries",
    "bags",
    "digits",
    "eur_lex",
    "flip_labels",
    "gaussian_mixture",
    "label_lists",
    "label_mask",
    "label_retrieval",
    "linear_teacher",
    "mnist1d",
    "python_manual",
    "see_also",
    "sphere_world",
    "two_view",
    "unequal_queries",
    "windows",
]
