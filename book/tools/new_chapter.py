"""Start a chapter: ``make new CHAPTER=part/slug``.

Writes what a chapter has on every floor, from the templates beside this script, and its lines in
_toc.yml. A new part also gets its packages and its place in the import contracts.
"""

import argparse
import json
import keyword
import re
import sys
from pathlib import Path

import yaml

from book.tools import layout
from book.tools.install_cell import install_cell

TEMPLATES = Path(__file__).parent / "templates"


def main() -> None:
    """Write the skeletons of the chapter that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="part/slug, such as labels/contrastive")
    parser.add_argument("--title", default="", help="the chapter's title")
    parser.add_argument("--caption", default="", help="the title of a part that is new")
    options = parser.parse_args()
    written = start(options.chapter, title=options.title, caption=options.caption)
    print("Written:", *(f"  {path}" for path in written), sep="\n")
    print(
        "Next: replace every line that says WRITE:, then\n"
        f"  make refresh CHAPTER={options.chapter}\n"
        "  make lint && make test\n"
        "CONTRIBUTING.md goes through it step by step."
    )


def start(
    chapter: str, *, title: str = "", caption: str = "", root: Path = layout.ROOT
) -> list[Path]:
    """Write a chapter's skeletons and toc lines; refuse, before anything is written, if unfit.

    Returns:
        The paths written or changed, relative to the root.
    """
    part, slug = _checked(chapter, root)
    title = title or slug.replace("_", " ").capitalize()
    texts = _skeletons(part, slug, title, root)
    taken = [str(path) for path in texts if (root / path).exists()]
    if taken:
        sys.exit(f"Nothing was written, because these exist: {', '.join(taken)}")
    for package in (Path("lib/l2s") / part, Path("tests") / part):
        if not (root / package / "__init__.py").exists():
            texts[package / "__init__.py"] = f'"""{_caption(part, caption)}."""\n'
    for path, change in (
        ("_toc.yml", lambda text: with_toc_lines(text, part, slug, _caption(part, caption))),
        ("pyproject.toml", lambda text: with_import_contracts(text, part)),
    ):
        text = (root / path).read_text(encoding="utf-8")
        if change(text) != text:
            texts[Path(path)] = change(text)
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return sorted(texts)


def with_toc_lines(text: str, part: str, slug: str, caption: str) -> str:
    """Return _toc.yml's text with the chapter last in its part, and its API page in the API's."""
    chapter, page = f"chapters/{part}/{slug}", f"book/api/{part}/{slug}"
    changed = _after_siblings(text, f"chapters/{part}/", chapter)
    if changed is None:
        changed = _with_part(text, caption, chapter)
    return (
        _after_siblings(changed, f"book/api/{part}/", page)
        or _after_siblings(changed, "book/api/(?!index)", page)
        or changed
    )


def with_import_contracts(text: str, part: str) -> str:
    """Return pyproject.toml's text with a new part on the top floor, beside the other parts."""
    if re.search(rf'"l2s\.{part}\.\*"', text):
        return text
    text = re.sub(r'(\nlayers = \[\s*"[^"]+)', rf"\1 | {part}", text)
    return re.sub(r'(\nmodules = \[[^\]]*"l2s\.\w+\.\*")', rf'\1, "l2s.{part}.*"', text)


def _checked(chapter: str, root: Path) -> tuple[str, str]:
    """Split ``part/slug``; end the program with a reason where a name will not do."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*", chapter):
        sys.exit(
            f"{chapter!r} is not part/slug. Both become module names: lower-case letters, digits "
            "and underscores, such as CHAPTER=geometry/neural_collapse."
        )
    part, slug = chapter.split("/")
    for name in (part, slug):
        if keyword.iskeyword(name):
            sys.exit(f"{name!r} is a word of Python's own, so no module can have it as its name.")
    if part in layout.FLOORS:
        sys.exit(f"{part!r} is a module below the chapters, so no part can be called that.")
    for other in layout.chapters(root):
        if other.split("/")[1] == slug:
            sys.exit(f"The slug {slug!r} is taken by {other}: exercises go by the slug alone.")
    return part, slug


def _skeletons(part: str, slug: str, title: str, root: Path) -> dict[Path, str]:
    tokens = {
        "PART": part,
        "SLUG": slug,
        "KEBAB": slug.replace("_", "-"),
        "TITLE": title,
        "INSTALL": install_cell(root),
    }
    targets = {
        "chapter.ipynb": f"chapters/{part}/{slug}.ipynb",
        "module.py": f"lib/l2s/{part}/{slug}.py",
        "test.py": f"tests/{part}/test_{slug}.py",
        "exercise.ipynb": f"exercises/source/{slug}/{slug}.ipynb",
        "api.md": f"book/api/{part}/{slug}.md",
    }
    return {Path(target): _filled(template, tokens) for template, target in targets.items()}


def _filled(template: str, tokens: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for token, value in tokens.items():
        inside = json.dumps(value, ensure_ascii=False)[1:-1] if "ipynb" in template else value
        text = text.replace(f"__{token}__", inside)
    return text


def _caption(part: str, caption: str) -> str:
    return caption or part.replace("_", " ").capitalize()


def _after_siblings(text: str, prefix: str, document: str) -> str | None:
    """Insert a page after the last one whose name begins with the prefix, and what hangs on it."""
    lines = text.splitlines()
    siblings = [at for at, line in enumerate(lines) if re.match(rf"\s*- file: {prefix}", line)]
    if not siblings:
        return None
    indent = len(lines[siblings[-1]]) - len(lines[siblings[-1]].lstrip())
    at = siblings[-1] + 1
    while at < len(lines) and _indent(lines[at]) > indent:
        at += 1
    lines.insert(at, f"{' ' * indent}- file: {document}")
    return "\n".join(lines) + "\n"


def _with_part(text: str, caption: str, document: str) -> str:
    """Insert a new part after the last one that holds chapters, or after the first part."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if re.match(r"  - caption:", line)]
    ends = [*starts[1:], len(lines)]
    with_chapters = [
        end
        for start, end in zip(starts, ends, strict=True)
        if any("file: chapters/" in line for line in lines[start:end])
    ]
    at = with_chapters[-1] if with_chapters else ends[0]
    shown = yaml.safe_dump(caption, width=1000).removesuffix("...\n").strip()
    lines[at:at] = [
        f"  - caption: {shown}",
        "    numbered: true",
        "    chapters:",
        f"      - file: {document}",
    ]
    return "\n".join(lines) + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


if __name__ == "__main__":
    main()
