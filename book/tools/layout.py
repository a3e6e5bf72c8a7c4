"""Where things stand: the paths of a chapter, the table of contents, the repository's address."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]

# The library's modules below the chapters, as the import contracts in pyproject.toml list them.
FLOORS = {
    *("checks", "claims", "data", "exercises", "kernels", "maths", "metrics"),
    *("plot", "sweep", "train", "widgets"),
}


def chapters(root: Path = ROOT) -> list[str]:
    """Names such as ``labels/contrastive``, one for each notebook under chapters/, sorted."""
    found = (root / "chapters").glob("*/*.ipynb")
    return sorted(path.relative_to(root / "chapters").with_suffix("").as_posix() for path in found)


def notebook(name: str, root: Path = ROOT) -> Path:
    """The notebook of a chapter; ends the program with the list of chapters if there is none."""
    path = root / "chapters" / f"{name}.ipynb"
    if name and path.is_file():
        return path
    known = "\n".join(f"  {known}" for known in chapters(root)) or "  (none yet)"
    said = f"There is no chapter {name!r}." if name else "Say which chapter: CHAPTER=part/slug."
    raise SystemExit(f"{said} The chapters that exist:\n{known}")


def modules(name: str, root: Path = ROOT) -> list[Path]:
    """The source files of a chapter's own module: one file, or the files of a package."""
    stem = root / "lib" / "l2s" / name
    return [stem.with_suffix(".py")] if not stem.is_dir() else sorted(stem.rglob("*.py"))


def documents(root: Path = ROOT) -> list[str]:
    """Every page of _toc.yml in reading order, such as ``chapters/labels/contrastive``."""
    return [page for _, pages in parts(root) for page in pages]


def parts(root: Path = ROOT) -> list[tuple[str, list[str]]]:
    """The caption and the pages of each part of _toc.yml; what stands before all has none."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    captioned = [(part.get("caption", ""), _files([part])) for part in toc.get("parts", [])]
    return [("", [toc["root"], *_files(toc.get("chapters", []))]), *captioned]


def captions(root: Path = ROOT) -> dict[str, str]:
    """The caption of the part in which each page of _toc.yml stands."""
    return {page: caption for caption, pages in parts(root) for page in pages if caption}


def repository(root: Path = ROOT) -> tuple[str, str]:
    """The address of the book's repository, and the reference that links and installs name."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return config["url"], reference(version(root), config["branch"])


def version(root: Path = ROOT) -> str:
    """The version of book and library, as pyproject.toml has it."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]


def reference(version: str, branch: str) -> str:
    """The tag of a release; the branch between releases, where the version ends in ``.devN``.

    The branch moves on after a page is built. A tag does not, so the notebook that a reader opens
    from the page of a release, and the library that it installs, are those of the page.
    """
    return branch if re.search(r"\.dev\d+$", version) else f"v{version}"


def _files(entries: list[dict]) -> list[str]:
    found = []
    for entry in entries:
        found += [entry["file"]] if "file" in entry else []
        for inner in ("chapters", "sections"):
            found += _files(entry.get(inner, []))
    return found
