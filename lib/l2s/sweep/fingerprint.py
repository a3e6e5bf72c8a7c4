"""A name for a function and everything that its results depend on.

The reader's own code and this library's are followed instruction by instruction, through helpers,
closures, defaults and globals; other libraries count by their version. Comments, line numbers,
docstrings and annotations do not count. Nothing here depends on the process: no address, no hash
seed, no order of a set.
"""

import builtins
import copyreg
import functools
import hashlib
import importlib
import io
import logging
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from l2s.sweep import bytecode
from l2s.sweep.origin import base_versions, is_followed, version

# They carry no value that a result could depend on.
_WITHOUT_VALUE = (
    io.IOBase,
    logging.Logger,
    threading.local,
    type(threading.Lock()),
    type(threading.RLock()),
    weakref.ref,
)
# Their text says all that they are.
_NAMED_IN_FULL = (
    np.dtype,
    torch.device,
    torch.dtype,
    torch.layout,
    types.GenericAlias,
    types.UnionType,
)
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_LRU_CACHE = type(functools.lru_cache(lambda: None))
# A class's attributes that hold no behaviour of their own.
_BOOKKEEPING = {
    *(
        "__annotations__",
        "__annotations_cache__",
        "__annotate_func__",
        "__dataclass_fields__",
        "__dict__",
        "__doc__",
    ),
    *("__firstlineno__", "__module__", "__orig_bases__", "__parameters__", "__qualname__"),
    *("__static_attributes__", "__type_params__", "__weakref__", "_abc_impl"),
}
_MISSING = object()


def fingerprint_of(function: Callable[..., Any]) -> str:
    """Return a hexadecimal name that changes when the function's results may change.

    Raises:
        TypeError: If the function uses a value whose content cannot be read; the error names it.
    """
    walk = _Walk()
    walk.add(base_versions())
    walk.visit(function, "`function`")
    return walk.digest()


class _Walk:
    """Feeds all that it visits into one hash; each function, class or mutable object once."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._alive: list[object] = []  # an address names an object only while the object lives

    def add(self, *words: str | bytes) -> None:
        for word in words:  # each with its length, so that no two sequences look alike
            data = word if isinstance(word, bytes) else word.encode("utf-8", "surrogatepass")
            self._hash.update(b"%d:" % len(data))
            self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def visit(self, value: Any, where: str) -> None:
        """Feed a value of any kind; ``where`` names it in an error."""
        if not self._visit_immutable(value, where) and self._is_new(value):
            self._visit_once(value, where)

    def _is_new(self, value: object) -> bool:
        if id(value) in self._seen:
            self.add("again", str(self._seen[id(value)]))
            return False
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        return True

    def _visit_immutable(self, value: Any, where: str) -> bool:
        """Feed a value that has no identity worth keeping; return whether it was one."""
        kind = type(value).__name__
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.add(kind, value if isinstance(value, bytes) else repr(value))
            if type(value).__module__ != "builtins":  # an enumeration, or another subclass
                self.visit(type(value), where)
        elif type(value) in (np.ndarray, np.memmap):
            self._visit_array(value, where)
        elif isinstance(value, torch.Tensor):
            self._visit_tensor(value, where)
        elif isinstance(value, torch.Generator):
            self._visit_tensor(value.get_state(), where)
        elif isinstance(value, _NAMED_IN_FULL):
            self.add(kind, str(value))
        elif type(value) is tuple:
            self.add(kind, str(len(value)))
            self._visit_each(value, where)
        elif isinstance(value, set | frozenset):
            self.add(kind, *sorted(_digest_alone(item, where) for item in value))
        elif isinstance(value, _WITHOUT_VALUE):
            self.add(kind)
        else:
            return False
        return True

    def _visit_once(self, value: Any, where: str) -> None:
        if isinstance(value, types.ModuleType):
            self._visit_module(value)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, type):
            self._visit_class(value)
        elif isinstance(value, types.MethodType):
            self._visit_each((value.__func__, value.__self__), where)
        elif isinstance(value, functools.partial):
            self.add("partial")
            self._visit_each((value.func, value.args, value.keywords), where)
        elif isinstance(value, property):
            self.add("property")
            self._visit_each((value.fget, value.fset, value.fdel), where)
        elif isinstance(value, staticmethod | classmethod | _LRU_CACHE):
            self.add(type(value).__name__)
            self.visit(value.__wrapped__, where)
        elif isinstance(value, functools.cached_property):
            self.visit(value.func, where)
        elif isinstance(value, _BUILTIN):
            self._visit_builtin(value, where)
        elif isinstance(value, dict | types.MappingProxyType):
            self.add(type(value).__name__, str(len(value)))
            for key, item in value.items():
                self._visit_each((key, item), where)
        elif type(value) is list:
            self.add("list", str(len(value)))
            self._visit_each(value, where)
        else:
            self._visit_instance(value, where)

    def _visit_each(self, values: Iterable[Any], where: str) -> None:
        for value in values:
            self.visit(value, where)

    def _visit_array(self, array: np.ndarray, where: str) -> None:
        self.add("array", str(array.dtype), str(array.shape))
        if array.dtype.hasobject:
            self._visit_each(array.ravel().tolist(), where)
        else:
            self.add(np.ascontiguousarray(array).tobytes())

    def _visit_tensor(self, tensor: torch.Tensor, where: str) -> None:
        self.add(type(tensor).__name__, str(tensor.dtype), str(tuple(tensor.shape)))
        self.add(str(tensor.requires_grad), str(tensor.device))
        try:
            flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            self.add(flat.view(torch.uint8).numpy().tobytes())
        except (RuntimeError, TypeError) as error:  # a sparse or quantised one, say
            raise _unreadable(tensor, where) from error

    def _visit_module(self, module: types.ModuleType) -> None:
        """Feed a module that is used as a whole: its version; if followed, all that is in it."""
        self.add("module", module.__name__, version(module.__name__))
        if not is_followed(module.__name__):
            return
        file = getattr(module, "__file__", None)
        self.add(Path(file).read_bytes() if file else "")
        code = (types.FunctionType, type)
        members = (value for value in vars(module).values() if isinstance(value, code))
        self._visit_each(members, f"the module `{module.__name__}`")

    def _visit_builtin(self, value: Any, where: str) -> None:
        owner = getattr(value, "__self__", None)
        module = getattr(value, "__module__", None)
        self.add("builtin", str(module), value.__name__, version(module))
        if not isinstance(owner, types.ModuleType):
            self.visit(owner, where)

    def _visit_function(self, function: types.FunctionType) -> None:
        module = function.__globals__.get("__name__")
        checks_types = function.__code__.co_filename.startswith("<@beartype")  # generated
        if checks_types or not is_followed(module):
            self._visit_foreign(function, version(module))
            return
        name = f"`{function.__name__}`"
        self.add("function", version(module) if module else "")
        self._visit_code(function.__code__, function.__globals__, name)
        self.visit(function.__defaults__, f"a default of {name}")
        for key, value in sorted((function.__kwdefaults__ or {}).items()):
            self.add(key)
            self.visit(value, f"the default `{key}` of {name}")
        for key, value in _closure(function):
            self.visit(value, f"the closure value `{key}` of {name}")

    def _visit_foreign(self, function: types.FunctionType, library: str) -> None:
        """Feed a library's function: its version, and what of ours a decorator of it wraps."""
        self.add("library", library, function.__qualname__)
        wrapped = getattr(function, "__wrapped__", None)
        self.visit(wrapped, function.__qualname__)
        kinds = (bool, int, float, str) + ((types.FunctionType,) if wrapped is None else ())
        for name, value in _closure(function):
            if isinstance(value, kinds):
                self.visit(value, f"the closure value `{name}` of `{function.__qualname__}`")

    def _visit_class(self, cls: type) -> None:
        module = cls.__module__ if isinstance(cls.__module__, str) else "builtins"  # Cython's
        if not is_followed(module):
            self.add("library", version(module), module, cls.__qualname__)
            return
        where = f"the class `{cls.__name__}`"
        self.add("class")
        self._visit_each((type(cls), *cls.__bases__), where)
        for name, value in vars(cls).items():
            if name not in _BOOKKEEPING:
                self.add(name)
                self.visit(value, f"`{name}` of {where}")

    def _visit_instance(self, value: Any, where: str) -> None:
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and isinstance(value, torch._ops.OpOverload):
            wrapped = sys.modules[wrapped.__module__]  # with all that it registers for the operator
        if wrapped is not None and not is_followed(type(value).__module__):
            self.add("wrapper", version(type(value).__module__))  # compiled by a library
            self.visit(wrapped, where)
            return
        try:
            registered = copyreg.dispatch_table.get(type(value))  # a compiled pattern, for one
            parts = registered(value) if registered else value.__reduce_ex__(4)
        except Exception as error:
            raise _unreadable(value, where) from error
        self.add("instance")
        self.visit(type(value), where)
        if isinstance(parts, str):
            self.add(parts)
            return
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        self._visit_each((make, arguments, state), where)
        self._visit_each(items or (), where)
        self._visit_each(pairs or (), where)

    def _visit_code(self, code: types.CodeType, names: dict[str, Any], where: str) -> None:
        for item in bytecode.read(code):
            match item:
                case bytecode.Word(text):
                    self.add(text)
                case bytecode.Constant(types.CodeType() as inner):
                    self._visit_code(inner, names, where)
                case bytecode.Constant(value):
                    self.visit(value, where)
                case bytecode.Name(parts):
                    self._visit_name(parts, names, where)
                case bytecode.Import(module, level, targets):
                    self._visit_import(module, level, targets, names, where)

    def _visit_name(self, parts: tuple[str, ...], names: dict[str, Any], where: str) -> None:
        first, *rest = parts
        value = names.get(first, getattr(builtins, first, _MISSING))
        home = names.get("__name__") or ""
        if home.startswith("l2s.") and isinstance(value, list | dict | set):
            value = sys.modules[home]  # a cache changes as it is used: take its module's text
        self._visit_attribute(value, rest, f"the global `{first}` of {where}")

    def _visit_attribute(self, value: Any, attributes: list[str], where: str) -> None:
        """Feed what ``value.a.b`` means: through our own modules, to the thing itself."""
        while attributes and isinstance(value, types.ModuleType) and is_followed(value.__name__):
            value = getattr(value, attributes.pop(0), _MISSING)
        if value is _MISSING:
            self.add("missing")
            return
        self.visit(value, where)
        if attributes and isinstance(value, types.FunctionType):
            self.visit(vars(value).get(attributes[0]), where)

    def _visit_import(
        self, name: str, level: int, targets: tuple[str, ...], names: dict[str, Any], where: str
    ) -> None:
        try:
            package = names.get("__package__") or ""
            module = importlib.import_module("." * level + name, package if level else None)
        except ImportError:
            self.add("missing", name)
            return
        for target in targets or ("*",):
            chain = [] if target == "*" else [target]
            self._visit_attribute(module, chain, f"the import `{name}` of {where}")


def _closure(function: types.FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not assigned yet
            found.append((name, None))
    return found


def _digest_alone(value: Any, where: str) -> str:
    walk = _Walk()
    walk.visit(value, where)
    return walk.digest()


def _unreadable(value: object, where: str) -> TypeError:
    return TypeError(
        f"{where} is a {type(value).__name__}, whose content cannot be read, so that nobody could "
        "tell whether a stored result still holds. Make it inside the function, or pass store=None."
    )
