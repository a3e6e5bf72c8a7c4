"""A notebook that runs Triton's interpreter leaves the Triton of this process as it was."""

import os
import sys

import pytest

from tests.exercises.notebook import Session, cells_before_checks, master

pytest.importorskip("triton")
ANSWER = "answer-4"


@pytest.fixture
def session():
    return Session(master("statistical_topk"))


@pytest.mark.parametrize("is_loaded", [True, False])
def test_the_interpreter_stays_in_the_notebook(session, is_loaded, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "triton"]:
        if not name.startswith("triton._C"):
            monkeypatch.delitem(sys.modules, name)
    if is_loaded:
        import triton

        before = triton
    session.run(*cells_before_checks(session.notebook, ANSWER), "checks-4")
    assert "TRITON_INTERPRET" not in os.environ
    if is_loaded:
        assert sys.modules["triton"] is before
    else:
        assert "triton" not in sys.modules
    import triton

    compiled = triton.jit(cells_before_checks)
    assert type(compiled) is triton.runtime.jit.JITFunction
    assert type(session.names["gate_kernel"]).__name__ == "InterpretedFunction"


def test_without_triton_the_other_exercises_run_and_the_fourth_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    notebook, names = master("statistical_topk"), {"__name__": "__main__"}
    for one in notebook.cells:
        if one.cell_type == "code" and one.id not in ("install", "study", "further-4"):
            if one.id == "checks-4":
                with pytest.raises(ImportError, match="Where it runs"):
                    exec(compile(one.source, one.id, "exec"), names)
            else:
                exec(compile(one.source, one.id, "exec"), names)
