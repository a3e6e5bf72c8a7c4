"""A stored result holds as long as nothing changed that it depends on, and no longer."""

import functools
import importlib.metadata
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import types

import numpy as np
import pytest
import torch
from l2s import metrics
from l2s.kernels.log_mass import log_mass
from l2s.sweep import sweep
from l2s.sweep.fingerprint import fingerprint_of

from tests.sweep import cases
from tests.sweep.studies import OTHER, STUDY


def load(study=STUDY, other=OTHER):
    """Run two modules' text, and return the study's function."""
    for name, text in [("other_study", other), ("study", study)]:
        module = sys.modules[name] = types.ModuleType(name)
        exec(compile(text, f"{len(text)}.py", "exec"), module.__dict__)
    return module.function


@pytest.fixture(autouse=True)
def _forget_modules():
    yield
    for name in ("study", "other_study"):
        sys.modules.pop(name, None)


def changed(old, new, text=STUDY):
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 0.5", "RATE = 0.25"),
        ("WIDTHS = [1, 2]", "WIDTHS = [1, 2, 3]"),
        ("np.arange(3)", "np.arange(4)"),
        ("torch.arange(3.0)", "torch.arange(3.0).double()"),
        ('"x", "y", "z"', '"x", "y"'),
        ("FAST = 1", "FAST = 2"),
        ("depth: int = 3", "depth: int = 4"),
        ("scale = 10", "scale = 11"),
        ("return self.scale", "return -self.scale"),
        ("Model(7)", "Model(8)"),
        ("2 * self.size", "3 * self.size"),
        ('return "fixed"', 'return "moved"'),
        ("self.size = size", "self.size = size + 1"),
        ("function(function(x))", "function(x)"),
        ("x**exponent", "x * exponent"),
        ("power(3)", "power(4)"),
        ("return x + 1\n", "return x + 2\n"),
        ("x * 2.5", "x * 3.5"),
        ("x - 40", "x - 41"),
        ("x + 50", "x + 51"),
        ("x + 60", "x + 61"),
        ("x > 10", "x >= 10"),
        ("helper(70)", "helper(71)"),
        ("x: int = 4", "x: int = 5"),
        ('kind="default"', 'kind="other"'),
        ("y + 80", "y + 81"),
        ("range(90)", "range(91)"),
        ("except ValueError", "except TypeError"),
        ('{"p", "q"}', '{"p", "r"}'),
        ("rate = 120", "rate = 121"),
        ("helper(measure(typed(cached(x))))", "helper(typed(measure(cached(x))))"),
        ('"b": late()', '"d": late()'),
    ],
)
def test_a_change_of_what_is_used_is_noticed(old, new):
    assert fingerprint_of(load(changed(old, new))) != fingerprint_of(load())


@pytest.mark.parametrize(
    ("old", "new"),
    [("x + 100", "x + 101"), ("return 110", "return 111"), ('"1.0"', '"1.1"')],
)
def test_a_change_in_another_module_is_noticed(old, new):
    assert fingerprint_of(load(other=changed(old, new, OTHER))) != fingerprint_of(load())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a remark", "# another\n    # remark"),
        ('    """Do it all."""\n', ""),
        ('    """Help."""\n', '    """Help, in other words."""\n'),
        ('    """What to do."""\n', ""),
        ("A class that is made at each call.", "A class."),
        ("x: int = 4", "x: float = 4"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("def unused():\n    return 1", "\n\n\ndef unused():\n    return 2"),
        ("    if x > 10:\n        return deep(x)\n", "    if x > 10: return deep(x)\n"),
    ],
)
def test_a_change_of_no_consequence_is_not(old, new):
    assert fingerprint_of(load(changed(old, new))) == fingerprint_of(load())


def test_a_change_of_what_another_module_does_beside_is_not_noticed():
    other = changed("return 0", "return 1", OTHER)
    assert fingerprint_of(load(other=other)) == fingerprint_of(load())


def test_use_does_not_change_it():
    function = load()
    before = fingerprint_of(function)
    assert fingerprint_of(function) == before
    vars(sys.modules["study"])["cached"](3)
    assert fingerprint_of(function) == before


def test_it_is_the_same_in_another_process_with_another_hash_seed(tmp_path):
    for name, text in [("study", STUDY), ("other_study", OTHER)]:
        (tmp_path / f"{name}.py").write_text(text)
    script = """
        import study
        from l2s.sweep.fingerprint import fingerprint_of
        from tests.sweep.test_fingerprint import uses_the_library
        print(fingerprint_of(study.function), fingerprint_of(uses_the_library))
    """
    here = os.environ.get("PYTHONHASHSEED")
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "2" if here == "1" else "1",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}.",
    }
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.check_output(command, env=environment, text=True)
    assert found.split() == [fingerprint_of(load()), fingerprint_of(uses_the_library)]


def uses_the_library(*, seed):
    from l2s.train import fit

    z = torch.eye(3)
    log_mass(z, z, torch.arange(3)[:, None], temperature=0.5)
    return {"r2": metrics.linear_r2(z, z, z, z), "fit": fit}


def test_the_librarys_own_code_is_followed(monkeypatch):
    before = fingerprint_of(uses_the_library)
    uses_the_library(seed=0)
    assert fingerprint_of(uses_the_library) == before
    for name in ("l2s.metrics", "l2s.train", "l2s.kernels.log_mass.symmetric"):
        module = sys.modules[name]
        with monkeypatch.context() as patch:
            for key, value in list(vars(module).items()):
                if getattr(value, "__module__", "").startswith(name):  # its own, inner modules too
                    patch.setattr(module, key, lambda *args, **kwargs: None)
            assert fingerprint_of(uses_the_library) != before, name


def uses_libraries(*, seed):
    import sklearn.linear_model

    return {"a": np.zeros(3), "b": sklearn.linear_model.Ridge()}


@pytest.mark.parametrize("name", ["numpy", "sklearn"])
def test_another_version_of_a_library_is_noticed(monkeypatch, name):
    before = fingerprint_of(uses_libraries)
    monkeypatch.setattr(sys.modules[name], "__version__", "0.0.1")
    assert fingerprint_of(uses_libraries) != before


@pytest.mark.parametrize("name", ["torch", "scipy", "l2s"])
def test_another_version_of_what_lies_beneath_is_noticed(monkeypatch, name):
    before = fingerprint_of(cases.failing)
    true = importlib.metadata.version
    if name == "l2s":
        monkeypatch.setattr("l2s.__version__", "0.0.1")
    else:
        other = {name: "0.0.1"}
        monkeypatch.setattr(importlib.metadata, "version", lambda n: other.get(n) or true(n))
    assert fingerprint_of(cases.failing) != before


def test_a_version_counts_only_where_it_is_used(monkeypatch):
    before = fingerprint_of(cases.failing)
    monkeypatch.setattr(sys.modules["joblib"], "__version__", "0.0.1")
    assert fingerprint_of(cases.failing) == before


def closure(value):
    return lambda *, seed: {"a": value}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("1", b"1"),
        ((1, 2), [1, 2]),
        ((1, (2,)), ((1, 2),)),
        ({"a": 1}, {"a": 2}),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (np.array([None]), np.array([1], dtype=object)),
        (torch.zeros(2), torch.tensor([0.0, 1.0])),
        (torch.zeros(2), torch.zeros(2, requires_grad=True)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
        (torch.float32, torch.float64),
        (torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (len, max),
        ([].append, [1].append),
        (functools.partial(cases.draw, scale=1), functools.partial(cases.draw, scale=2)),
        (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)),
        (torch.optim.SGD, torch.optim.Adam),
        (slice(1, 2), slice(1, 3)),
        (re.compile("a"), re.compile("b")),
        (re.compile("a"), re.compile("a", re.DOTALL)),
    ],
)
def test_closure_values_count_by_content(one, other):
    assert fingerprint_of(closure(one)) != fingerprint_of(closure(other))
    assert fingerprint_of(closure(one)) == fingerprint_of(closure(one))


def test_equal_content_in_other_objects_is_the_same():
    one, other = [np.arange(3), {"a": (1, 2)}], [np.arange(3), {"a": (1, 2)}]
    assert fingerprint_of(closure(one)) == fingerprint_of(closure(other))
    assert fingerprint_of(closure({"p", "q", "r"})) == fingerprint_of(closure({"r", "q", "p"}))


def test_what_contains_itself():
    loop = [1]
    loop.append(loop)
    assert fingerprint_of(closure(loop)) == fingerprint_of(closure(loop))


@pytest.mark.parametrize("value", [threading.Lock(), logging.getLogger("l2s"), sys.stderr])
def test_what_carries_no_value_does_not_matter(value):
    assert fingerprint_of(closure(value)) == fingerprint_of(closure(value))


def test_what_cannot_be_read_is_named():
    numbers = (number for number in range(3))
    with pytest.raises(
        TypeError, match=r"the closure value `value` of .* is a generator.*store=None"
    ):
        fingerprint_of(closure(numbers))


def notebook(text, cell):
    """Define a function as a notebook's cell does."""
    names = {"__name__": "__main__"}
    exec(compile(text, f"<ipython-input-{cell}>", "exec"), names)
    return names["function"]


def test_a_notebooks_functions():
    text = (
        "def helper(x):\n    return x + 1\ndef function(*, seed):\n    return {'a': helper(seed)}\n"
    )
    again = "# a remark\n\n" + text
    assert fingerprint_of(notebook(text, 1)) == fingerprint_of(notebook(again, 2))
    assert fingerprint_of(notebook(text, 1)) != fingerprint_of(notebook(text.replace("1", "2"), 1))


def test_a_changed_function_is_not_answered_from_an_old_store(tmp_path):
    def run(source):
        function = notebook(f"def function(*, seed):\n    return {{'a': {source}}}", 1)
        return sweep(function, [{}], seeds=[3], jobs=1, store=tmp_path / "store.db")

    assert run("seed + 1").values("a").tolist() == [4]
    assert run("seed + 2").values("a").tolist() == [5]
    back = run("(seed + 1)")
    assert (back.values("a").tolist(), back.answered) == ([4], 1)
