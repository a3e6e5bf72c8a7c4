"""Versions, bounds and import arrows: one list each, and all of them agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import l2s
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.tools import layout

ROOT = layout.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OWN = canonicalize_name(PROJECT["project"]["name"])

# Written in two halves, so that this file does not find itself.
REGISTRIES = re.compile(
    r"(?:pypi|pythonhosted|anaconda|npm" + r"js)\.(?:org|com)"
    r"|download\.py" + r"torch\.org|index-" + r"url[= ]+\S*//|find-" + r"links[= ]+\S*//"
)


def required(groups=None):
    """The declared requirements: the library's own, then those of the extras."""
    extras = PROJECT["project"]["optional-dependencies"]
    lists = [PROJECT["project"]["dependencies"], *(extras[g] for g in groups or extras)]
    return [Requirement(line) for lines in lists for line in lines]


def pins(path):
    """A list of exact versions as {normal name: version}; fails on a line of another form."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line]
    assert all(len(pair) == 2 for pair in pairs), f"{path.name} has a line that pins nothing"
    names = [canonicalize_name(name) for name, _ in pairs]
    assert sorted(names) == sorted(set(names)), f"{path.name} lists a package twice"
    return dict(zip(names, (version for _, version in pairs), strict=True))


def repeated(requirements):
    names = [canonicalize_name(r.name) for r in requirements if canonicalize_name(r.name) != OWN]
    return sorted({name for name in names if names.count(name) > 1})


def unmet(requirements, versions, *, partial=False):
    """Sentences for requirements that a list of versions does not meet, or does not have."""
    found = []
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name == OWN or (partial and name not in versions):
            continue
        if not requirement.specifier.contains(versions.get(name, "0.dev0"), prereleases=True):
            found.append(f"{requirement}, but the list has {versions.get(name, 'none')}")
    return found


def test_no_dependency_is_declared_twice():
    assert repeated(required()) == []


def test_the_pins_meet_every_bound():
    assert unmet(required(), pins(ROOT / "constraints.txt")) == []


def test_bounds_are_lower_bounds():
    pinned = [str(r) for r in required() if any(s.operator in ("==", "~=") for s in r.specifier)]
    assert pinned == []
    assert [str(r) for r in required() if not r.specifier and r.name != OWN] == []


def test_colab_brings_nothing_that_an_install_would_move():
    versions = pins(ROOT / "tests" / "colab" / "preinstalled.txt")
    assert unmet(required(groups=()), versions, partial=True) == []
    assert {"torch", "numpy", "ipython"} <= set(versions)


def test_the_checks_of_lists_can_fail():
    lines = [Requirement("torch>=2.6"), Requirement("Torch>2")]
    assert repeated(lines) == ["torch"]
    assert unmet(lines, {"torch": "2.5"}) == ["torch>=2.6, but the list has 2.5"]
    assert unmet(lines[:1], {}) == ["torch>=2.6, but the list has none"]
    assert unmet(lines[:1], {}, partial=True) == []


def test_environment_yml_lists_nothing_that_pyproject_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-e ."]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    names = {re.match(r"[\w-]+", entry)[0] for entry in conda}
    # torch alone is listed here as well: conda's build for the CPU, with the same lower bound
    assert "pytorch-cpu" in names
    assert names & {canonicalize_name(r.name) for r in required()} == set()
    (bound,) = (str(r.specifier) for r in required() if r.name == "torch")
    assert f"pytorch-cpu{bound}" in conda


def test_no_registry_host_stands_in_any_file():
    assert REGISTRIES.search("--index-" + "url https://host/simple")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        text = path.read_text(encoding="utf-8", errors="ignore") if path.is_file() else ""
        found += [f"{name}: {match}" for match in REGISTRIES.findall(text)]
    assert found == []


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version = PROJECT["project"]["version"]
    assert (l2s.__version__, str(citation["version"])) == (version, version)


def test_imports_point_down_the_floors():
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_tools_know_the_same_floors_as_the_contract():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    below = {name for layer in layers[1:] for name in re.findall(r"\w+", layer)}
    assert {name for name in below if not name.startswith("_")} == layout.FLOORS


@pytest.mark.measures
def test_import_l2s_is_instant():
    code = (
        "import sys, time; start = time.process_time(); import l2s; "
        "print(time.process_time() - start); "
        "heavy = {'torch', 'numpy', 'matplotlib', 'ipywidgets'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"import l2s loads {done.stderr}"
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.05


@pytest.mark.parametrize("command", ["make lint", "make book", "make test"])
def test_the_verdict_runs_what_the_readme_says(command):
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    words = r"make( --keep-going)? " + command.removeprefix("make ")
    assert re.search(rf"^{words} ", steps, re.MULTILINE)
    if command != "make lint":
        assert command in (ROOT / "README.md").read_text(encoding="utf-8")
