"""The pieces that a chapter has, looked for in its structure.

Each check takes a notebook and returns sentences that tell an author what to add; none means that
all is well. CONTRIBUTING.md describes the conventions.
"""

import ast
import re
from collections.abc import Callable

from book.tools.install_cell import install_cell
from tests.book.notebooks import Cell, Notebook, Section

Check = Callable[[Notebook], list[str]]
SEEDS = 3

_RESULT = re.compile(r"\{prf:(theorem|lemma|proposition|corollary|property|criterion|proof)\}")
_NUMBERED = re.compile(r"^\s*\$\$ *\([^)\s]+\)|^\s*:label: |\\label\{", re.MULTILINE)
_PREDICTION = re.compile(r"\{admonition\} *Prediction.*\n\s*:class: .*\bprediction\b")
_FOLDED = re.compile(r"\{dropdown\}|\{admonition\}.*\n\s*:class: .*\bdropdown\b")
_CITATION = re.compile(r"\{cite[\w:]*\}`([^`]+)`")
_SWEPT = re.compile(r"× (\d+) seeds?\b")
_SENTENCE_END = re.compile(r"[.!?][\"')\]*]*(?=\s|$)")
_NO_SENTENCE_END = re.compile(r"\$[^$]*\$|`[^`]*`|\b(e\.g|i\.e|vs|cf|Fig|Eq|et al)\.")


def install_cell_comes_first(notebook: Notebook) -> list[str]:
    tagged = [cell for cell in notebook.cells if "remove-cell" in cell.tags]
    if not tagged or tagged != list(notebook.cells[:1]):
        return ["The first cell, and no other, has the tag remove-cell: `make refresh` adds it."]
    if tagged[0].source != install_cell(notebook.root):
        return ["The install cell does not name the address of _config.yml: run `make version`."]
    return []


def opening_has_question_and_facts(notebook: Notebook) -> list[str]:
    opening = next((s for s in notebook.sections if s.level == 1), None)
    if opening is None:
        return ["There is no title: begin with a heading of level 1."]
    wanted = {
        "a question (no question mark is there)": "?" in opening.prose,
        "the minutes to read": re.search(r"\d+ min", opening.prose),
        "the seconds to run": re.search(r"\d+ (s\b|sec)", opening.prose),
        "what it needs (`*Needs*:`, with a link to each chapter it builds on)": re.search(
            r"^\*Needs\*:.*\S", opening.prose, re.MULTILINE
        ),
        "a citation of the papers covered": _CITATION.search(opening.prose),
    }
    return [f"The opening lacks {what}." for what, found in wanted.items() if not found]


def parameters_are_set(notebook: Notebook) -> list[str]:
    tagged = [cell for cell in notebook.code if "parameters" in cell.tags]
    if len(tagged) != 1:
        return [f"{len(tagged)} code cells have the tag parameters; exactly one has."]
    values = {
        target.id: node.value.value
        for node in ast.walk(tagged[0].tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return [
        f"The parameters cell sets {name} = {values.get(name)!r}; it is {value!r} when committed."
        for name, value in {"profile": "quick", "seed": 1000}.items()
        if values.get(name) != value
    ]


def problem_comes_before_theory(notebook: Notebook) -> list[str]:
    before: list[Cell] = []
    for section in notebook.sections:
        if derives(section):
            break
        before += section.code
    if any(cell.outputs for cell in before):
        return []
    return ["No code cell shows something before the first derivation: begin with what goes wrong."]


def derivations_are_checked(notebook: Notebook) -> list[str]:
    problems = []
    deriving = [section for section in notebook.sections if derives(section)]
    if not deriving:
        problems.append("No section derives: number an equation, or state a {prf:theorem}.")
    for section in deriving:
        kinds = [
            _derives(cell.source) if cell.kind == "markdown" else None for cell in section.cells
        ]
        after = section.cells[kinds.index(True) + 1 :]
        if not any(cell.checks_something and cell.execution_count for cell in after):
            problems.append(
                f"The section {section.title!r} derives, but no executed code cell after the "
                "result checks it: add two lines that compute both sides and compare them."
            )
    return problems


def own_code_equals_the_library(notebook: Notebook) -> list[str]:
    names = _names_of_own_module(notebook)
    if any(cell.checks_something and cell.names & names for cell in notebook.code):
        return []
    module = f"l2s.{notebook.name.replace('/', '.')}"
    return [f"No code cell asserts that the chapter's own code equals a function of {module}."]


def experiments_are_predicted(notebook: Notebook) -> list[str]:
    problems = []
    if not any("sweep" in cell.calls for cell in notebook.code):
        problems.append("No code cell calls sweep(...): a chapter has an experiment over seeds.")
    for section in notebook.sections:
        predicted = False
        for cell in section.cells:
            predicted |= cell.kind == "markdown" and bool(_PREDICTION.search(cell.source))
            if "sweep" in cell.calls and not predicted:
                problems.append(
                    f"The experiment in cell {cell.id!r} has no prediction before it in its "
                    "section: add `:::{admonition} Prediction` with `:class: prediction`."
                )
    return problems


def experiments_show_seeds(notebook: Notebook) -> list[str]:
    problems = []
    for cell in notebook.code:
        if "sweep" in cell.calls:
            shown = [int(count) for count in _SWEPT.findall(cell.text)]
            if not shown or min(shown) < SEEDS:
                said = f"{min(shown)} seeds" if shown else "no number of seeds"
                problems.append(
                    f"The experiment in cell {cell.id!r} shows {said}; show the sweep as the last "
                    f"line of its cell, with at least {SEEDS} seeds."
                )
    return problems


def slider_is_there(notebook: Notebook) -> list[str]:
    shown = (cell for cell in notebook.code if "stepper" in cell.calls)
    if any("l2s-stepper" in html for cell in shown for html in cell.data("text/html")):
        return []
    return ["There is nothing to play with: show a l2s.widgets.stepper(...)."]


def claims_are_there(notebook: Notebook) -> list[str]:
    return [] if notebook.claims else ["No claim is stated: use l2s.claims.claim(...)."]


def claims_cite_known_papers(notebook: Notebook) -> list[str]:
    known = (notebook.root / "book" / "references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", known, re.MULTILINE))
    return [
        f"The claim {claim['id']!r} names the paper {claim['paper']!r}, which is not in "
        "book/references.bib."
        for claim in notebook.claims
        if claim["paper"] not in keys
    ]


def claims_have_seeds(notebook: Notebook) -> list[str]:
    return [
        f"The claim {claim['id']!r} was measured with {len(claim['seeds'])} seeds; use at least "
        f"{SEEDS}, or none where nothing is random."
        for claim in notebook.claims
        if 0 < len(claim["seeds"]) < SEEDS
    ]


def breaking_is_shown(notebook: Notebook) -> list[str]:
    breaking = [s for s in notebook.sections if re.search(r"\bbreaks?\b", s.title, re.IGNORECASE)]
    if any(cell.execution_count for section in breaking for cell in section.code):
        return []
    return ['No section with "breaks" in its heading shows by a run where the method breaks.']


def ending_is_complete(notebook: Notebook) -> list[str]:
    """Summary, open questions, further reading and questions, each under its fixed heading."""
    problems = []
    found = {}
    for title in ("Summary", "What is still open", "Further reading", "Check yourself"):
        section = notebook.section(title)
        if section is None or len(section.prose.split("\n", 1)[-1].split()) < 5:
            problems.append(f"There is no section {title!r}, or nothing in it.")
        else:
            found[title] = section.prose.split("\n", 1)[-1]
    if "Summary" in found:
        text = _NO_SENTENCE_END.sub("", found["Summary"])
        if (count := len(_SENTENCE_END.findall(text))) > 5:
            problems.append(f"The summary has {count} sentences; it has at most five.")
    if "Further reading" in found:
        keys = {k for keys in _CITATION.findall(found["Further reading"]) for k in keys.split(",")}
        if not 3 <= len(keys) <= 6:
            problems.append(f"Further reading cites {len(keys)} works; it cites three to six.")
    if "Check yourself" in found:
        problems += _questions(notebook, found["Check yourself"])
    return problems


CHECKS: tuple[Check, ...] = (
    install_cell_comes_first,
    opening_has_question_and_facts,
    parameters_are_set,
    problem_comes_before_theory,
    derivations_are_checked,
    own_code_equals_the_library,
    experiments_are_predicted,
    experiments_show_seeds,
    slider_is_there,
    claims_are_there,
    claims_cite_known_papers,
    claims_have_seeds,
    breaking_is_shown,
    ending_is_complete,
)


def derives(section: Section) -> bool:
    """Whether a section states a result: a numbered equation, a theorem or a proof."""
    return _derives(section.prose)


def _derives(text: str) -> bool:
    return bool(_NUMBERED.search(text) or _RESULT.search(text))


def _questions(notebook: Notebook, text: str) -> list[str]:
    problems = []
    count = len(_FOLDED.findall(text))
    if not 3 <= count <= 5:
        problems.append(
            f"Check yourself folds away {count} answers; ask three to five questions, each as "
            "`:::{dropdown} The question?` with its answer inside."
        )
    released = f"exercises/release/{notebook.path.stem}"
    if (notebook.root / released).exists() and released not in text:
        problems.append(f"Check yourself does not link to the exercises in {released}.")
    return problems


def _names_of_own_module(notebook: Notebook) -> set[str]:
    """The names by which the chapter's code reaches its own module or functions of it."""
    own = f"l2s.{notebook.name.replace('/', '.')}"
    package, _, slug = own.rpartition(".")
    names = set()
    for node in (node for cell in notebook.code for node in ast.walk(cell.tree)):
        for alias in getattr(node, "names", []):
            if isinstance(node, ast.ImportFrom) and (
                node.module == own or (node.module == package and alias.name == slug)
            ):
                names.add(alias.asname or alias.name)
            elif isinstance(node, ast.Import) and alias.name == own and alias.asname:
                names.add(alias.asname)
    return names
