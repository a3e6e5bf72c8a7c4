"""Execute a chapter and store its outputs: ``make refresh CHAPTER=labels/contrastive``.

Two runs write the same bytes: no timing, no widget state and no random cell id is kept, and the
code is formatted before it runs. ``all`` refreshes every chapter.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from book.tools import layout, provenance
from book.tools.install_cell import install_cell

# Seconds a cell may take. The limit for a chapter is far lower, and `make test` holds it.
CELL_LIMIT = 600
ENVIRONMENT = {
    "L2S_PROGRESS": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
RANDOM_ID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def main() -> None:
    """Refresh the chapter that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="such as labels/contrastive, or all")
    chapter = parser.parse_args().chapter
    for name in layout.chapters() if chapter == "all" else [chapter]:
        path = layout.notebook(name)
        print(f"{name}: running", flush=True)
        try:
            refresh(path)
        except CellExecutionError as error:
            sys.exit(f"{error}\n{name} is left as it was: the cell above failed.")
        print(f"{name}: {path.stat().st_size / 1e6:.2f} MB written")


def refresh(path: Path, root: Path = layout.ROOT) -> None:
    """Run a chapter's notebook and write it back; a failing cell leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)
    _set_install_cell(notebook, root)
    _name_cells(notebook)
    _clear(notebook)
    notebook = _formatted(notebook, path)
    _execute(notebook, path.parent)
    _strip(notebook)
    name = path.relative_to(root / "chapters").with_suffix("").as_posix()
    notebook.metadata["l2s"] = {
        "hashes": provenance.hashes(notebook.cells, name, root),
        "versions": _versions(),
    }
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def _set_install_cell(notebook: NotebookNode, root: Path) -> None:
    """Write the install cell's text; add the cell at the top where it is missing."""
    for cell in notebook.cells:
        if provenance.is_install(cell):
            cell.source = install_cell(root)
            return
    cell = nbformat.v4.new_code_cell(install_cell(root), id="install")
    cell.metadata["tags"] = [provenance.INSTALL_TAG]
    notebook.cells.insert(0, cell)
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)  # the first with cell ids


def _name_cells(notebook: NotebookNode) -> None:
    """Name each cell that has no lasting id after the heading above it: ``derivation-2``."""
    taken = {cell.id for cell in notebook.cells if not _is_random(cell)}
    heading = "cell"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (title := re.search(r"^#+ (.+)$", cell.source, re.M)):
            words = re.findall(r"[a-z0-9]+", title[1].lower())
            heading = "-".join(words)[:40].strip("-") or "cell"
        if _is_random(cell):
            number = 1
            while (name := f"{heading}-{number}") in taken:
                number += 1
            cell["id"] = name
            taken.add(name)


def _is_random(cell: NotebookNode) -> bool:
    return RANDOM_ID.fullmatch(cell.get("id", "0" * 8)) is not None


def _clear(notebook: NotebookNode) -> None:
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None


def _formatted(notebook: NotebookNode, path: Path) -> NotebookNode:
    """Let ruff format the code before it runs, so that the file is a fixed point of `make lint`."""
    settings = ["--config", str(layout.ROOT / "chapters" / "ruff.toml")]
    ruff = [sys.executable, "-m", "ruff", "format", *settings]
    command = [*ruff, "--stdin-filename", str(path), "-"]
    text = nbformat.writes(notebook)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"ruff cannot format {path.name}:\n{done.stderr}")
    return nbformat.reads(done.stdout, as_version=4)


def _execute(notebook: NotebookNode, folder: Path) -> None:
    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        coalesce_streams=True,  # where a print ends up must not depend on the clock
        kernel_name="python3",
        record_timing=False,
        skip_cells_with_tag="skip-execution",
        resources={"metadata": {"path": str(folder)}},
    )
    # The kernel process writes only start-up warnings there; what cells print comes another way.
    client.execute(env={**os.environ, **ENVIRONMENT}, stderr=subprocess.DEVNULL)


def _strip(notebook: NotebookNode) -> None:
    """Drop what differs from run to run, and live widgets, which are dead without a kernel."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("execution", "papermill", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _WIDGET_VIEW not in o.get("data", {})]


def _versions() -> dict[str, str]:
    packages = ("learning-to-select", "matplotlib", "numpy", "torch")
    found = {package: importlib.metadata.version(package) for package in packages}
    # A build's label (2.13.0+cpu) tells the machine, not the version.
    public = {name: text.partition("+")[0] for name, text in found.items()}
    return {**public, "python": ".".join(platform.python_version_tuple()[:2])}


if __name__ == "__main__":
    main()
