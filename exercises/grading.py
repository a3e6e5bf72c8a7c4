"""What this course adds to nbgrader: limits and canaries when grading, discreet feedback pages.

An answer and its checks share a kernel, so an answer may try to disarm the checks. Therefore each
graded cell must end with a proof: ``l2s.exercises.judge`` gives it only if the checks fail on
functions that are known to be wrong, and it repeats a number that is drawn here, for this cell.
"""

import secrets
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    Execute,
    GetGrades,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from traitlets import Integer

PROOF = "application/vnd.l2s.checked+json"
NOT_BELIEVED = "NotBelieved"
DISARMED = "Disarmed"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
_LONGEST = 600  # characters of one message in the feedback


def configure(c: Any) -> None:
    """Put the parts of this file in their places; nbgrader_config.py calls it."""
    c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback"]
    c.OverwriteCells.add_missing_cells = True
    c.Autograde.autograde_preprocessors = [
        GuardedExecute,
        IgnorePattern,
        ClearMetadataPreprocessor,
        LimitOutput,
        SaveAutoGrades,
        AssignLatePenalties,
        CheckCellMetadata,
    ]
    c.GenerateFeedback.preprocessors = [GetGrades, Discreet]
    c.GenerateFeedback.exporter_class = FeedbackExporter
    c.FeedbackExporter.template_name = "l2s"
    c.FeedbackExporter.extra_template_basedirs = [
        str(Path(__file__).resolve().parent / "templates")
    ]


class GuardedExecute(Execute):
    """Run a submission under a memory limit, and believe a graded cell only with its proof."""

    memory_limit = Integer(3 * 2**30, help="bytes that a kernel may map; 0 for no limit").tag(
        config=True
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.memory_limit:
            both = (self.memory_limit,) * 2
            line = f"__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, {both})"
            self.extra_arguments = [*self.extra_arguments, f"--IPKernelApp.exec_lines={line}"]

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, index: int
    ) -> tuple[NotebookNode, Any]:
        if not _is_checked(cell):
            return super().preprocess_cell(cell, resources, index)
        source, nonce = cell.source, secrets.token_hex(16)
        cell.source = f'L2S_NONCE = "{nonce}"\n{source}'
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        finally:
            cell.source = source
        cell.outputs = _believed(cell.outputs, nonce)
        return cell, resources


class Discreet(NbGraderPreprocessor):
    """Leave in a notebook what its author may see: her answers, scores, and what checks said.

    Hidden tests are cut out, and so is every output through which an answer could show them.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, index: int
    ) -> tuple[NotebookNode, Any]:
        cell.source = _without_hidden(cell.source)
        if cell.cell_type == "code":
            errors = [o for o in cell.outputs if o.output_type == "error"]
            cell.metadata["l2s_problems"] = [_problem(error) for error in errors[:1]]
            cell.outputs = []
        return cell, resources


class FeedbackExporter(HTMLExporter):
    """A page of its own: one file, no script, nothing asked of any host."""


def _is_checked(cell: NotebookNode) -> bool:
    is_code = cell.cell_type == "code"
    return is_code and utils.is_grade(cell) and not utils.is_solution(cell)


def _believed(outputs: list[NotebookNode], nonce: str) -> list[NotebookNode]:
    """Keep errors; without one, either the proof is there, or its absence becomes an error.

    Warnings on stderr and values on the last line would change the score in nbgrader: only checks
    decide here.
    """
    errors = [o for o in outputs if o.output_type == "error"]
    if errors:
        return errors
    proofs = [o for o in outputs if o.get("data", {}).get(PROOF, {}).get("nonce") == nonce]
    if proofs:
        return [new_output("display_data", {"text/plain": "The checks hold."})]
    text = (
        "The checks of this cell did not run to their end as they were written, so it earns "
        "nothing. Restart the kernel, run all cells, and hand in again; or ask your instructor."
    )
    return [new_output("error", ename=NOT_BELIEVED, evalue=text, traceback=[text])]


def _problem(error: NotebookNode) -> dict[str, str]:
    """What a student may read of an error: no traceback, which shows the code of hidden tests."""
    name, text = str(error.ename), str(error.evalue)
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    return {"name": name, "text": shown}


def _without_hidden(source: str) -> str:
    kept, hidden = [], False
    for line in source.splitlines():
        if line.strip() == BEGIN_HIDDEN:
            hidden = True
        if not hidden:
            kept.append(line)
        if line.strip() == END_HIDDEN:
            hidden = False
    return "\n".join(kept)
