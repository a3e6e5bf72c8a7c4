"""Say in plain words what is missing or mismatched on this machine: ``make doctor``.

Standard library only, and readable by any Python 3, because it is run when things do not work.
Ends with status 1 if something essential is missing.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OLDEST = (3, 11)
GIBIBYTE = 2**30

OK, NOTE, MISSING = "ok", "note", "missing"
Finding = collections.namedtuple("Finding", "level text remedy")

# Asked of the environment's own Python; every answer is a plain value.
_QUESTIONS = """
import importlib.metadata as m, json, sys
found = {d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}
try:
    import torch
    cuda = [torch.version.cuda, torch.cuda.is_available()]
except Exception as error:
    cuda = repr(error)
try:
    import l2s
    home = l2s.__path__[0]
except Exception as error:
    home = repr(error)
print(json.dumps({"python": sys.version_info[:2], "packages": found, "cuda": cuda, "l2s": home}))
"""


def main():
    """Print all findings, and end with 1 if something essential is missing."""
    findings = examine(ROOT)
    for finding in findings:
        print(f"{finding.level:8}{finding.text}")
        if finding.remedy:
            print("        -> " + finding.remedy)
    missing = sum(finding.level == MISSING for finding in findings)
    print("Nothing essential is missing." if not missing else f"Missing: {missing}. See -> above.")
    sys.exit(1 if missing else 0)


def examine(root):
    """Return the findings for a checkout of the book, the machine's first."""
    findings = [
        python(sys.version_info),
        *tools(shutil.which),
        room(shutil.disk_usage(root).free, os.path.isdir(os.path.join(root, ".venv"))),
        power(_memory(), os.cpu_count() or 1),
    ]
    interpreter = os.path.join(root, ".venv", "bin", "python")
    if not os.path.exists(os.path.join(root, ".venv", ".installed")):
        lacking = "There is no environment .venv yet, or its installation did not finish."
        return [*findings, Finding(MISSING, lacking, "make book (or make test) makes it.")]
    answers = ask(interpreter)
    if answers is None:
        broken = "The environment's Python does not run: " + interpreter
        remedy = "Remove the folder .venv, then run make book."
        return [*findings, Finding(MISSING, broken, remedy)]
    with open(os.path.join(root, "constraints.txt"), encoding="utf-8") as lines:
        pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", lines.read(), re.MULTILINE))
    return [
        *findings,
        packages(answers["packages"], pins),
        library(answers["l2s"], root),
        kernel(os.path.join(root, ".venv")),
        accelerator(answers["cuda"], shutil.which("nvidia-smi") is not None),
    ]


def python(version):
    """Judge the Python that runs make's scripts."""
    text = "Python " + ".".join(map(str, version[:3]))
    if tuple(version[:2]) >= OLDEST:
        return Finding(OK, text, "")
    remedy = "Install Python 3.11 or newer, and name it: make book PYTHON=/path/to/python3.12"
    return Finding(MISSING, text + " is too old for the book", remedy)


def tools(which):
    """Look for the programs that are used beside Python."""
    git = which("git")
    yield (
        Finding(OK, "git", "")
        if git
        else Finding(NOTE, "git is not here", "Needed to contribute; not to build or test.")
    )
    browser = which("chromium") or which("chromium-browser") or which("google-chrome")
    yield (
        Finding(OK, "browser for the page tests: " + browser, "")
        if browser
        else Finding(
            NOTE,
            "Chromium is not here, so tests that look at pages in a browser cannot run",
            "Debian and Ubuntu: apt install chromium.",
        )
    )


def room(free, installed):
    """Judge the disk: the environment takes 2 GB with torch for the CPU, up to 8 GB for a GPU."""
    text = f"{free / GIBIBYTE:.0f} GiB of disk are free"
    if free > (1 if installed else 4) * GIBIBYTE:
        return Finding(OK, text, "")
    return Finding(MISSING, text + ", which is too little", "Free at least 4 GiB.")


def power(memory, cores):
    """Judge memory and cores against what a chapter may use (1.5 GiB, 60 s on 2 cores)."""
    text = f"{cores} cores"
    if memory is not None:
        text += f", {memory / GIBIBYTE:.1f} GiB of memory"
        if memory < 4 * GIBIBYTE:
            return Finding(NOTE, text, "make test needs about 4 GiB; make test WORKERS=1 less.")
    if cores < 2:
        return Finding(NOTE, text, "Chapters are made for 2 cores, and take longer on one.")
    return Finding(OK, text, "")


def ask(interpreter):
    """Return what the environment says of itself, or None where its Python does not run."""
    try:
        answer = subprocess.run(
            [interpreter, "-c", _QUESTIONS],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=True,
        )
        return json.loads(answer.stdout.decode().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def packages(found, pins):
    """Compare what is installed with constraints.txt."""
    have = {_normal(name): version.partition("+")[0] for name, version in found.items()}
    absent = [name for name in pins if _normal(name) not in have]
    other = [
        f"{name} {have[_normal(name)]} (tests ran with {pin})"
        for name, pin in pins.items()
        if have.get(_normal(name), pin) != pin
    ]
    essential = [name for name in absent if _normal(name) in ("torch", "numpy", "jupyter-book")]
    remedy = "rm .venv/.installed && make book installs the tested versions."
    if essential:
        return Finding(MISSING, "Not installed in .venv: " + ", ".join(essential), remedy)
    if other:
        return Finding(NOTE, "Other versions than the tests ran with: " + ", ".join(other), remedy)
    text = f"packages: {len(pins) - len(absent)} of {len(pins)} pinned ones, all at their versions"
    return Finding(OK, text, "")


def library(home, root):
    """Check that ``import l2s`` finds this checkout, not another one."""
    expected = os.path.join(root, "lib", "l2s")
    if os.path.realpath(home) == os.path.realpath(expected):
        return Finding(OK, "import l2s finds this checkout", "")
    remedy = "rm .venv/.installed && make book installs this one."
    return Finding(MISSING, f"import l2s finds {home}, not {expected}", remedy)


def kernel(venv):
    """Look for the kernel that notebooks name."""
    spec = os.path.join(venv, "share", "jupyter", "kernels", "python3", "kernel.json")
    if os.path.exists(spec):
        return Finding(OK, "notebook kernel python3", "")
    remedy = ".venv/bin/python -m ipykernel install --sys-prefix"
    return Finding(MISSING, "The notebook kernel python3 is not in .venv", remedy)


def accelerator(cuda, gpu):
    """Compare torch's build with the machine; the book needs no GPU."""
    if isinstance(cuda, str):
        remedy = "Remove the folder .venv, then run make book."
        return Finding(MISSING, "torch cannot be imported: " + cuda, remedy)
    built, works = cuda
    if works:
        return Finding(OK, f"GPU in use, CUDA {built}", "")
    if gpu:
        remedy = "For the full profiles: install the torch build that fits it (see README.md)."
        return Finding(NOTE, "There is an NVIDIA GPU that this torch cannot use", remedy)
    if built:
        remedy = "It works; the CPU build takes gigabytes less (see README.md)."
        return Finding(NOTE, f"torch is built for CUDA {built}, and no GPU is here", remedy)
    return Finding(OK, "torch for the CPU, and no GPU here", "")


def _memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this system
        return None


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
