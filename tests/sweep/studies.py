"""The text of two modules that depend on everything that a study may depend on."""

STUDY = '''
"""A study as a reader may write it."""
import dataclasses
import enum
import functools

import numpy as np
import torch
from beartype import beartype

import other_study

RATE = 0.5
WIDTHS = [1, 2]
TABLE = {"a": np.arange(3), "b": torch.arange(3.0)}
NAMES = {"x", "y", "z"}
UNUSED = 1

class Mode(enum.Enum):
    FAST = 1

@dataclasses.dataclass(frozen=True)
class Options:
    """What to do."""
    depth: int = 3
    name: str = "plain"

class Base:
    scale = 10

    def inherited(self):
        return self.scale

class Model(Base):
    def __init__(self, size):
        self.size = size

    @property
    def double(self):
        return 2 * self.size

    @staticmethod
    def fixed():
        return "fixed"

MODEL = Model(7)

def twice(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(function(x))
    return wrapper

def power(exponent):
    return lambda x: x**exponent

cube = power(3)

@twice
def grow(x):
    return x + 1

@torch.no_grad()
def measure(x):
    return x * 2.5

@beartype
def typed(x: int) -> int:
    return x - 40

@functools.lru_cache
def cached(x):
    return x + 50

def deep(x):
    return x + 60

def helper(x):
    """Help."""
    if x > 10:
        return deep(x)
    return recurse(x)

def recurse(x):
    return recurse(x - 1) if x else helper(70)

def unused():
    return 1

def function(*, seed, x: int = 4, kind="default"):
    """Do it all."""
    # a remark
    from other_study import late
    class Local:
        """A class that is made at each call."""
        rate = 120
    local = [Local.rate, RATE, WIDTHS, TABLE, NAMES, Mode.FAST, Options(), MODEL, cube(x), grow(x)]
    try:
        inner = (lambda y: y + 80)(x)
    except ValueError:
        inner = None
    if x in {"p", "q"}:
        inner = [z for z in range(90)]
    return {"a": helper(measure(typed(cached(x)))) + other_study.tool(x), "b": late(), "c": local}
'''

OTHER = """
__version__ = "1.0"

def tool(x):
    return part(x)

def part(x):
    return x + 100

def late():
    return 110

def unused():
    return 0
"""
