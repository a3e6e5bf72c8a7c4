"""Grade a flat folder of notebooks: ``make grade SUBMISSIONS=folder SLUG=contrastive``.

Lays out an nbgrader course in a folder of its own, lets nbgrader grade each submission in a process
of its own, and writes grades.csv and a page of feedback for each student. One submission never
stops another. The folder is an ordinary nbgrader course: manual grading goes on there.
"""

import argparse
import csv
import html
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil

from book.tools import collect, layout, release_exercises

# Words that no answer to an exercise needs; an instructor should look at what they do there.
_UNUSUAL = re.compile(
    r"get_ipython|sys\.modules|_getframe|builtins|ast_transformers|input_transformers|torch\.testing"
    r"|importlib|L2S_NONCE|exercises\.|\bsetattr\(|\binspect\b|\bgc\b|\bctypes\b|os\._exit|\b_ih\b"
    r"|\bIn\["
)


@dataclass
class Result:
    """What became of one submission."""

    submission: collect.Submission
    scores: dict[str, float | None] = field(default_factory=dict)
    score: float = 0.0
    manual: bool = False
    flags: list[str] = field(default_factory=list)


def main() -> None:
    """Grade what the command line names; exit with 1 if a file could not be graded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submissions", help="a flat folder of <student>.ipynb files")
    parser.add_argument("slug", help="which exercises, such as contrastive")
    parser.add_argument(
        "--out", default="", help="the work folder; _runs/grades/<slug> if left out"
    )
    parser.add_argument("--course", default="", help="another course folder, such as a variant's")
    parser.add_argument("--timeout", type=int, default=60, help="seconds a cell may take")
    parser.add_argument("--deadline", type=int, default=600, help="seconds a submission may take")
    parser.add_argument("--memory", type=float, default=3, help="GiB that a kernel may map")
    options = parser.parse_args()
    course = Path(options.course).resolve() if options.course else release_exercises.COURSE
    slug = release_exercises.checked(options.slug, course)
    out = work_folder(options.out, slug)
    files = _files(options.submissions)
    limits = {
        "timeout": options.timeout,
        "deadline": options.deadline,
        "memory": int(options.memory * 2**30),
    }
    results = grade(files, slug, out, course=course, limits=limits)
    _report(results, out)
    sys.exit(1 if any(result.submission.problem for result in results) else 0)


def work_folder(out: str, slug: str, root: Path = layout.ROOT) -> Path:
    """The folder to work in; ends the program where it lies among the repository's files."""
    folder = Path(out).resolve() if out else root / "_runs" / "grades" / slug
    if folder.is_relative_to(root.resolve()):
        ask = ["git", "check-ignore", "--quiet", str(folder / "grades.csv")]
        if subprocess.run(ask, cwd=root, check=False).returncode != 0:
            sys.exit(f"{out} lies in the repository, where grades have no place: name another.")
    return folder


def grade(
    files: list[collect.Submission],
    slug: str,
    out: Path,
    *,
    course: Path = release_exercises.COURSE,
    limits: dict[str, int] | None = None,
) -> list[Result]:
    """Grade submissions one after the other and write grades.csv and feedback/."""
    limits = {"timeout": 60, "deadline": 600, "memory": 3 * 2**30} | (limits or {})
    _prepare(slug, course, out, limits)
    handed_out = nbformat.read(out / "release" / slug / f"{slug}.ipynb", as_version=4)
    os.environ.update(release_exercises.environment())
    results = []
    for one in files:
        result = Result(one)
        started = time.monotonic()
        if not one.problem and (submitted := collect.read(one)) is not None:
            target = out / "submitted" / one.student / slug / f"{slug}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(collect.merged(handed_out, submitted), target)
            _in_a_process_of_its_own(one, slug, out, limits["deadline"])
        _read_scores(result, slug, out)
        _read_flags(result, slug, out, handed_out)
        results.append(result)
        seconds = time.monotonic() - started
        print(f"{one.file}: {_verdict(result)} ({seconds:.0f} s)", flush=True)
    _write_grades(results, slug, out)
    _write_feedback(results, slug, out)
    return results


def _files(folder: str) -> list[collect.Submission]:
    if not folder or not Path(folder).is_dir():
        said = f"{folder!r} is no folder" if folder else "Say where they are: SUBMISSIONS=folder"
        sys.exit(f"{said}. It holds one notebook a student, <student>.ipynb.")
    files = collect.submissions(Path(folder))
    if not files:
        sys.exit(f"{folder} is empty. It should hold one notebook a student, <student>.ipynb.")
    return files


def _prepare(slug: str, course: Path, out: Path, limits: dict[str, int]) -> None:
    """Make ``out`` an nbgrader course; a gradebook that is there stays, manual scores with it."""
    for stale in ("source", "release", "submitted", "autograded", "feedback"):
        _remove(out / stale / slug if stale in ("source", "release") else out / stale)
    out.mkdir(parents=True, exist_ok=True)
    settings = release_exercises.COURSE
    (out / "nbgrader_config.py").write_text(
        "# Written by book/tools/grade.py: the course's settings, and the limits of this run.\n"
        f'load_subconfig("nbgrader_config.py", path={str(settings)!r})\n'
        "c = get_config()\n"
        f"c.Execute.timeout = {limits['timeout']}\n"
        f"c.GuardedExecute.memory_limit = {limits['memory']}\n",
        encoding="utf-8",
    )
    release_exercises.generate(slug, course, out)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # nbgrader's results are read-only
        shutil.rmtree(folder)


def _in_a_process_of_its_own(
    one: collect.Submission, slug: str, out: Path, deadline: float
) -> None:
    """Let nbgrader grade a submission; stop it, and every process it started, at the deadline."""
    log = out / "logs" / f"{one.student}.txt"
    log.parent.mkdir(exist_ok=True)
    child = multiprocessing.get_context("fork").Process(
        target=_autograde, args=(one.student, slug, out, log)
    )
    child.start()
    child.join(deadline)
    late = child.is_alive()
    if late:
        _stop(child.pid)
        child.join()
    if late or child.exitcode != 0:
        reason = f"took more than {deadline:.0f} s" if late else _reason(log)
        one.problem, one.graded_zero = reason, True


def _autograde(student: str, slug: str, out: Path, log: Path) -> None:
    """In the child: nbgrader's own autograde and feedback, its words into a file."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.chdir(out)
        config = PyFileConfigLoader("nbgrader_config.py", path=str(out)).load_config()
        config.CourseDirectory.root = str(out)
        place = CourseDirectory(config=config)
        api = NbGraderAPI(coursedir=place, config=config)
        graded = api.autograde(slug, student)
        told = api.generate_feedback(slug, student) if graded["success"] else graded
        for answer in (graded, told):
            file.write(f"{answer.get('log', '')}\n{answer.get('error', '')}\n")
    os._exit(0 if graded["success"] and told["success"] else 1)


def _stop(pid: int) -> None:
    processes = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    for process in processes:
        process.kill()


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if "DeadKernelError" in text or "Kernel died" in text:
        return "ended its own kernel: the process died while the notebook ran"
    if "CellTimeoutError" in text or "UnresponsiveKernelError" in text:
        return "could not be interrupted: a loop that ignores it, or code outside Python"
    return f"could not be graded: see {log}"


def _read_scores(result: Result, slug: str, out: Path) -> None:
    """Read a student's scores from the gradebook; whoever failed as a whole gets zeros there."""
    from nbgrader.api import Gradebook

    one = result.submission
    if not one.student:
        return
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}", "learning-to-select") as book:
        book.update_or_create_student(one.student)
        book.update_or_create_submission(slug, one.student)
        notebook = book.find_submission_notebook(slug, slug, one.student)
        if one.problem:
            for grade in notebook.grades:
                grade.auto_score, grade.needs_manual_grade = 0, False
            book.db.commit()
        ordered = sorted(notebook.grades, key=lambda grade: grade.name.rpartition("-")[::-1])
        result.scores = {grade.name: grade.score for grade in ordered}
        result.score = notebook.score
        result.manual = any(grade.needs_manual_grade for grade in notebook.grades)


def _read_flags(result: Result, slug: str, out: Path, handed_out: Any) -> None:
    """Note cells whose checks were disarmed, and answers that use words no answer needs."""
    path = out / "autograded" / result.submission.student / slug / f"{slug}.ipynb"
    if not result.submission.student or not path.is_file():
        return
    known = {cell.source for cell in handed_out.cells}
    for cell in nbformat.read(path, as_version=4).cells:
        meta = cell.metadata.get("nbgrader", {})
        errors = {o.ename for o in cell.get("outputs", []) if o.output_type == "error"}
        if meta.get("grade") and errors & {"Disarmed", "NotBelieved"}:
            result.flags.append(f"{meta['grade_id']}: its checks were disarmed or skipped")
        is_own = meta.get("solution") or not meta
        if is_own and cell.source not in known and (word := _UNUSUAL.search(cell.source)):
            result.flags.append(f"{meta.get('grade_id', 'an added cell')}: uses {word[0]!r}")


def _write_grades(results: list[Result], slug: str, out: Path) -> None:
    columns = next((list(result.scores) for result in results if result.scores), [])
    with (out / "grades.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        start = ["assignment", "student_id", "file", "score", "max_score"]
        table.writerow([*start, *columns, "to_grade_by_hand", "flag", "note"])
        largest = _max_score(slug, out)
        for result in results:
            one = result.submission
            if one.student:
                scores = [_number(result.scores[name]) for name in columns]
                by_hand = "yes" if result.manual else ""
                flags = "; ".join(result.flags)
                score = _number(result.score)
                start = [slug, one.student, one.file, score, _number(largest)]
                table.writerow([*start, *scores, by_hand, flags, one.problem])


def _max_score(slug: str, out: Path) -> float:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{out / 'gradebook.db'}", "learning-to-select") as book:
        return book.find_assignment(slug).max_score


def _write_feedback(results: list[Result], slug: str, out: Path) -> None:
    """Put nbgrader's pages side by side, <student>.html, and one for each failure as a whole."""
    pages = out / "feedback_pages"
    _remove(pages)
    pages.mkdir()
    for result in results:
        one = result.submission
        made = out / "feedback" / one.student / slug / f"{slug}.html"
        if one.student and made.is_file() and not one.problem:
            shutil.copyfile(made, pages / f"{one.student}.html")
        elif one.student:
            text = f"Your file {one.file} earned no points: it {one.problem}."
            page = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Feedback</title><p>{html.escape(text)}</p></html>\n'  # noqa: E501
            (pages / f"{one.student}.html").write_text(page, encoding="utf-8")


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:g}"


def _verdict(result: Result) -> str:
    if result.submission.problem:
        return f"NOT GRADED, {result.submission.problem}"
    return f"{result.score:g} points" + (f"; LOOK AT {result.flags[0]}" if result.flags else "")


def _report(results: list[Result], out: Path) -> None:
    graded = [result for result in results if not result.submission.problem]
    print(f"\n{len(graded)} of {len(results)} files graded.")
    print(f"Scores: {out / 'grades.csv'}\nFeedback: {out / 'feedback_pages'}/<student>.html")
    if any(result.manual for result in graded):
        print(f"By hand: run `nbgrader formgrader` (or jupyter lab) in {out}")


if __name__ == "__main__":
    main()
