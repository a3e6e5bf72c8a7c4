"""Run a chapter with other parameters: ``make run CHAPTER=labels/contrastive PROFILE=full SEED=3``.

The executed copy goes to _runs/; the chapter's own notebook is not touched.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from book.tools import layout


def main() -> None:
    """Run the chapter that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="such as labels/contrastive")
    parser.add_argument(
        "--profile", default="", help="quick or full; the chapter's own if left out"
    )
    parser.add_argument("--seed", default="", help="a whole number; the chapter's own if left out")
    parser.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any other parameter of the chapter",
    )
    options = parser.parse_args()
    given = [("profile", options.profile), ("seed", options.seed), *options.parameter]
    values = {name: _value(text) for name, text in given if text}
    try:
        written = run(options.chapter, values)
    except PapermillExecutionError as error:
        sys.exit(f"{error}\nThe run stopped there; what ran before it is in _runs/.")
    print(f"Written: {written.relative_to(layout.ROOT)}")


def run(name: str, values: dict[str, Any], root: Path = layout.ROOT) -> Path:
    """Run a chapter with these values of its parameters, and return the executed copy's path."""
    source = layout.notebook(name, root)
    _check(values, source)
    words = [name, *(f"{key}-{value}" for key, value in sorted(values.items()))]
    file_name = re.sub(r"[^\w.-]+", "-", "-".join(words))
    target = root / "_runs" / f"{file_name}.ipynb"
    target.parent.mkdir(exist_ok=True)
    papermill.execute_notebook(
        str(source),
        str(target),
        parameters=values,
        cwd=str(source.parent),
        kernel_name="python3",
        progress_bar=True,
    )
    return target


def _check(values: dict[str, Any], source: Path) -> None:
    """End the program where a parameter is unknown, before minutes are spent on the run."""
    known = papermill.inspect_notebook(str(source))
    for name in values:
        if name not in known:
            sys.exit(f"The chapter has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
    if values.get("profile", "quick") not in ("quick", "full"):
        sys.exit(f"PROFILE is {values['profile']!r}, but must be quick or full.")
    if not isinstance(values.get("seed", 0), int):
        sys.exit(f"SEED is {values['seed']!r}, but must be a whole number.")


def _value(text: str) -> Any:
    """Read a number, list or truth value; anything else is a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
