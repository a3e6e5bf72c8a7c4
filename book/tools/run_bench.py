"""Run the benchmarks: ``make bench``, or one by ``make bench CHAPTER=labels/contrastive``."""

import argparse
import subprocess
import sys

from book.tools import layout

TOOLS = {"harness", "peers"}  # what the scripts share


def main() -> None:
    """Run each benchmark in a process of its own, and fail if one of them does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="", help="such as labels/contrastive")
    wanted = parser.parse_args().name
    known = benchmarks()
    if wanted and wanted not in known:
        sys.exit(f"There is no benchmark {wanted!r}; there are: {', '.join(known) or 'none'}.")
    failed = []
    for name in [wanted] if wanted else known:
        print(f"== {name}", flush=True)
        module = f"bench.{name.replace('/', '.')}"
        done = subprocess.run([sys.executable, "-m", module], cwd=layout.ROOT, check=False)
        failed += [name] if done.returncode else []
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


def benchmarks() -> list[str]:
    """Names such as ``labels/contrastive`` or ``kernels``, one for each script, sorted."""
    folder = layout.ROOT / "bench"
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py"))
    names = (path.as_posix() for path in found if not path.name.startswith("_"))
    return sorted(set(names) - TOOLS)


if __name__ == "__main__":
    main()
