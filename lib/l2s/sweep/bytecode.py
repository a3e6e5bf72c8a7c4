"""What a compiled function does, without where it stands: no line, comment, docstring or file."""

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}
_CONSTANT = frozenset(dis.hasconst)
_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, from Python 3.13 on
_REMARKS = {"__doc__", "__firstlineno__", "__static_attributes__"}
_NAME = frozenset(dis.hasname)


class Word(NamedTuple):
    """Something to hash as it is."""

    text: str


class Constant(NamedTuple):
    """A constant, which may be the code of an inner function."""

    value: Any


class Name(NamedTuple):
    """A global name with the attributes that are read from it at once: ``module.helper``."""

    parts: tuple[str, ...]


class Import(NamedTuple):
    """An import statement inside the function."""

    module: str
    level: int
    names: tuple[str, ...]


def read(code: CodeType) -> Iterator[Word | Constant | Name | Import]:
    """Take a function's code apart.

    Constants are named where they are used, and not by their table: a docstring stands in the
    table alone. Local variables are numbered.
    """
    arguments = code.co_argcount + code.co_kwonlyargcount
    flags = code.co_flags & ~_HAS_DOCSTRING
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags)
    yield Word(repr((shape, code.co_varnames[:arguments], code.co_exceptiontable)))
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for place, step in enumerate(steps):
        if step.opcode in _CONSTANT:
            if not _is_remark(steps, place):
                yield Word(step.opname)
                yield Constant(step.argval)
            continue
        yield Word(f"{step.opname} {step.argval if step.opcode in _NAME else step.arg}")
        if step.opname in _GLOBAL:
            yield Name((step.argval, *_attributes(steps, place + 1)))
        elif step.opname == "IMPORT_NAME":
            level, names = steps[place - 2].argval, steps[place - 1].argval
            yield Import(step.argval, level, names or ())


def _is_remark(steps: list[dis.Instruction], place: int) -> bool:
    """Return whether a constant is where a class stands in its file, or what its docstring says."""
    return any(
        step.opname == "STORE_NAME" and step.argval in _REMARKS
        for step in steps[place + 1 : place + 2]
    )


def _attributes(steps: list[dis.Instruction], start: int) -> Iterator[str]:
    for step in steps[start:]:
        if step.opname not in _ATTRIBUTE:
            return
        yield step.argval
