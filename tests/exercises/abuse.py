"""Submissions that try, or happen, to break the grading; each with the points that it earns.

A copy answers exercises 1 and 2 (3 + 4 points) and leaves the rest, unless a case says otherwise.
"""

import textwrap

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.exercises import mistakes_contrastive
from tests.exercises.notebook import answered, cell, released, with_body

ONE, TWO = 3, 4  # points of exercises 1 and 2
STUB = "raise NotImplementedError()"
LATER = dict.fromkeys(("answer-3", "answer-4", "answer-5"), STUB)
ZERO = "return torch.tensor(0.0)"

# Attacks: code that an answer cell runs before its function; the function itself is worthless.
ATTACKS = {
    "patches-assert": """
        import ast
        class NoAsserts(ast.NodeTransformer):
            def visit_Assert(self, node):
                return ast.Pass()
            def visit_Raise(self, node):
                return ast.Pass()
        get_ipython().ast_transformers.append(NoAsserts())
        """,
    "skips-cells": """
        get_ipython().input_transformers_cleanup.append(
            lambda lines: ["pass\\n"] if any("judge" in line for line in lines) else lines
        )
        """,
    "patches-torch-testing": """
        torch.testing.assert_close = lambda *args, **kwargs: None
        torch.allclose = lambda *args, **kwargs: True
        """,
    "patches-our-checks": """
        for name in ("expect", "falls", "at_most"):
            setattr(exercises, name, lambda *args, **kwargs: None)
        """,
    "patches-close": """
        exercises._close = lambda *args: True
        """,
    "patches-judge": """
        exercises.judge = lambda *args, **kwargs: print("The checks hold.")
        """,
    "patches-verdict": """
        exercises._verdict = lambda *args: None
        """,
    "patches-the-reference": """
        import torch.nn.functional
        torch.nn.functional.cross_entropy = lambda scores, *args, **kwargs: -scores.sum()
        """,
    "returns-a-chameleon": """
        class Equal(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return True
        """,
}


UNFLAGGED = ("patches-the-reference", "returns-a-chameleon")  # refused like any wrong answer


def cases() -> dict[str, tuple[NotebookNode, float, bool]]:
    """File stem -> the notebook, the points it earns, and whether it must be flagged."""
    found = {
        "correct": (answered(LATER), ONE + TWO, False),
        "Zoë Müller, 4711 (final) v2": (answered(LATER), ONE + TWO, False),  # renamed, odd
        "crash": (answered(LATER | {"answer-1": "return [][1]"}), TWO, False),
        "syntax-error": (_with_source("answer-1", "def slope_in_temperature(:\n"), TWO, False),
        "endless-loop": (answered(LATER | {"answer-2": "while True:\n    pass"}), ONE, False),
        "memory-hog": (answered(LATER | {"answer-2": "return torch.ones(8 * 2**30)"}), ONE, False),
        "os-exit": (answered(LATER | {"answer-1": "import os\nos._exit(3)"}), 0, False),
        "edited-tests": (_edited(), TWO, False),
        "deleted-cells": (_deleted(), TWO, False),
        "stripped-metadata": (_stripped(), ONE + TWO, False),
        "empty-notebook": (new_notebook(), 0, False),
        "another-notebook": (new_notebook(cells=[new_code_cell("print('hello')")]), 0, False),
    }
    for name, attack in ATTACKS.items():
        found[name] = (_attacking(attack, name), 0, name not in UNFLAGGED)
    return found


def _with_source(name: str, source: str) -> NotebookNode:
    notebook = answered(LATER)
    cell(notebook, name).source = source
    return notebook


def _edited() -> NotebookNode:
    """A wrong first answer, and test cells that have been emptied to let it pass."""
    wrong = mistakes_contrastive.HINTS["answer-1"]["sign"][0]
    notebook = answered(LATER | {"answer-1": wrong})
    for name in ("checks-1", "further-1"):
        cell(notebook, name).source = "pass"
    return notebook


def _deleted() -> NotebookNode:
    """Checks of exercise 2 are deleted, which costs nothing; so is the first answer."""
    notebook = answered(LATER)
    gone = {"answer-1", "checks-2", "further-2", "question-1"}
    notebook.cells = [one for one in notebook.cells if one.id not in gone]
    return notebook


def _stripped() -> NotebookNode:
    """An editor has dropped nbgrader's metadata, and keeps ids where Colab does."""
    notebook = answered(LATER)
    for one in notebook.cells:
        one.metadata = nbformat.NotebookNode(id=one.id)
        del one["id"]
    notebook.nbformat_minor = 4
    return notebook


def _attacking(attack: str, name: str) -> NotebookNode:
    notebook = answered(LATER | {"answer-1": "return 0.0", "answer-2": ZERO})
    first = cell(notebook, "answer-1")
    if name == "patches-the-reference":  # right, if the loss were what the patch makes of it
        slope = "return (cosine + sum(negatives)) / temperature**2"
        first.source = with_body(cell(released(), "answer-1").source, slope)
    if name == "returns-a-chameleon":
        worthless = "return torch.tensor(0.0).as_subclass(Equal)"
        second = cell(released(), "answer-2").source
        cell(notebook, "answer-2").source = with_body(second, worthless)
    first.source = textwrap.dedent(attack).strip("\n") + "\n\n\n" + first.source
    return notebook
