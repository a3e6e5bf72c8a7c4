"""A small chapter that passes every check, in its own tree: bad notebooks are made from it."""

from collections.abc import Callable
from pathlib import Path

import nbformat.v4
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from book.tools import provenance
from book.tools.install_cell import install_cell
from tests.book.notebooks import CLAIM, Notebook

NAME = "labels/sample"
PINS = {"matplotlib": "3.0", "numpy": "2.0", "torch": "2.6"}

OPENING = """# A sample

Is it so?

*Needs*: [notation](../../book/notation.md). *Reading*: 20 minutes. *Running*: 5 seconds.
*Paper*: {cite:t}`someone2020`."""

DERIVATION = """## Derivation

$$
y = x
$$ (eq-sample)"""

EXPERIMENT = """## Experiment

:::{admonition} Prediction
:class: prediction

It is one.
:::"""

READING = "## Further reading\n\nFirst {cite:t}`a2020`, then {cite:p}`b2020,c2020`, with reasons."

QUESTION = ":::{dropdown} Why?\nBecause.\n:::\n"


def good(root: Path) -> NotebookNode:
    """The sample as nbformat sees it, before hashes are stored."""
    shown = new_output("execute_result", {"text/plain": "4"}, execution_count=1)
    swept = new_output("execute_result", {"text/plain": "24 cells: 8 settings × 3 seeds"})
    slider = new_output("display_data", {"text/html": '<figure class="l2s-stepper"></figure>'})
    figure = new_output("display_data", {"text/html": '<figure><img alt="A line rises"></figure>'})
    card = {"id": "sample-first", "paper": "someone2020", "seeds": [1000, 1001, 1002]}
    cells = [
        _code("install", install_cell(root), tags=["remove-cell"]),
        _text("opening", OPENING),
        _code("parameters", 'profile = "quick"\nseed = 1000', tags=["parameters"]),
        _text("problem", "## Two and two\n\nLook at this."),
        _code("problem-shown", "from l2s.labels import sample\n\n2 + 2", shown),
        _text("derivation", DERIVATION),
        _code("derivation-checked", "assert 1 == 1"),
        _text("scratch", "## From scratch\n\nThe shortest honest code."),
        _code("scratch-checked", "assert sample.ONE == 1"),
        _text("experiment", EXPERIMENT),
        _code("experiment-run", "sweep(f, {}, seeds=range(seed, seed + 3))", swept),
        _code("experiment-figure", 'plot.show(f, alt="A line rises")', figure),
        _text("play", "## Move it\n\nGuess before you move the slider."),
        _code("play-slider", "stepper(frames)", slider),
        _text("claims", "## Claims\n\nThe paper says one."),
        _code("claims-stated", "claim('sample-first')", new_output("display_data", {CLAIM: card})),
        _text("breaks", "## Where it breaks\n\nAt zero."),
        _code("breaks-shown", "0 * 1", shown),
        _text(
            "summary", "## Summary\n\nOne is $1.5$ or so. It breaks at zero, i.e. at the origin."
        ),
        _text("open", "## What is still open\n\nWhether two is two, and why."),
        _text("reading", READING),
        _text("questions", f"## Check yourself\n\n{QUESTION * 3}"),
    ]
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )


def write(root: Path, change: Callable[[NotebookNode], object] = lambda raw: None) -> Notebook:
    """Write the sample's tree, with its notebook changed before (not after) hashes are stored."""
    for path, text in {
        "_config.yml": "repository: {url: https://example.org/book, branch: main}\n",
        "_toc.yml": f"root: book/preface\nparts: [{{chapters: [{{file: chapters/{NAME}}}]}}]\n",
        "pyproject.toml": (
            '[project]\nversion = "0.1.0.dev0"\n'
            'dependencies = ["numpy>=2.0", "scikit-learn>=1.5"]\n'
        ),
        "constraints.txt": "".join(f"{name}=={version}\n" for name, version in PINS.items()),
        "book/references.bib": "@article{someone2020,\n  title = {One},\n}\n",
        f"lib/l2s/{NAME}.py": "ONE = 1\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    raw = good(root)
    raw.metadata["l2s"] = {"versions": dict(PINS)}
    change(raw)
    raw.metadata["l2s"]["hashes"] = provenance.hashes(raw.cells, NAME, root)
    return store(raw, root)


def store(raw: NotebookNode, root: Path) -> Notebook:
    """Write a notebook as the sample, as it is."""
    path = root / "chapters" / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.v4.writes(raw), encoding="utf-8")
    return Notebook.read(path)


def cell(raw: NotebookNode, name: str) -> NotebookNode:
    """The cell with this id."""
    return next(cell for cell in raw.cells if cell.id == name)


def _text(name: str, source: str) -> NotebookNode:
    return new_markdown_cell(source, id=name)


def _code(name: str, source: str, *outputs: NotebookNode, tags: list[str] | None = None):
    made = new_code_cell(source, id=name, execution_count=1, outputs=list(outputs))
    made.metadata.update({"tags": tags} if tags else {})
    return made
