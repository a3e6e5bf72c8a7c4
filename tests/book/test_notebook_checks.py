"""Each check of a notebook passes a good one, and names what is wrong with a bad one."""

import pytest
from nbformat.v4 import new_code_cell, new_output

from tests.book import anatomy, hygiene, sample
from tests.book.notebooks import CLAIM
from tests.book.sample import cell


def replaced(name, old, new):
    def change(raw):
        assert old in cell(raw, name).source
        cell(raw, name).source = cell(raw, name).source.replace(old, new)

    return change


def without(*names):
    def change(raw):
        raw.cells = [cell for cell in raw.cells if cell.id not in names]

    return change


def shows(data, name="problem-shown", kind="display_data"):
    return lambda raw: cell(raw, name).outputs.append(new_output(kind, data))


def prints(text, stream="stdout"):
    output = new_output("stream", name=stream, text=text)
    return lambda raw: cell(raw, "problem-shown").outputs.append(output)


def claims(**changes):
    return lambda raw: cell(raw, "claims-stated").outputs[0].data[CLAIM].update(changes)


def has(name, **fields):
    return lambda raw: cell(raw, name).update(fields)


BAD = [
    # the anatomy
    ("install_cell_comes_first", without("install"), "make refresh"),
    ("install_cell_comes_first", replaced("install", "@main", "@v1"), "address of _config.yml"),
    ("opening_has_question_and_facts", replaced("opening", "# A sample", ""), "no title"),
    ("opening_has_question_and_facts", replaced("opening", "?", "."), "a question"),
    ("opening_has_question_and_facts", replaced("opening", "*Needs*", "Needs"), "*Needs*"),
    ("opening_has_question_and_facts", replaced("opening", "minutes", "pages"), "minutes"),
    ("opening_has_question_and_facts", replaced("opening", "seconds", "cores"), "seconds"),
    ("opening_has_question_and_facts", replaced("opening", "{cite:t}", ""), "citation"),
    ("parameters_are_set", without("parameters"), "0 code cells have the tag"),
    ("parameters_are_set", replaced("parameters", "1000", "3"), "seed = 3; it is 1000"),
    ("parameters_are_set", replaced("parameters", "quick", "full"), "profile = 'full'"),
    ("problem_comes_before_theory", has("problem-shown", outputs=[]), "what goes wrong"),
    ("derivations_are_checked", has("derivation-checked", source="1"), "'Derivation'"),
    ("derivations_are_checked", has("derivation-checked", execution_count=None), "no executed"),
    ("derivations_are_checked", replaced("derivation", " (eq-sample)", ""), "No section derives"),
    (
        "derivations_are_checked",
        replaced("scratch", "The", ":::{prf:lemma} One\n:label: x\n:::\n### More\nThe"),
        "'From scratch'",
    ),
    ("own_code_equals_the_library", has("scratch-checked", source="assert True"), "l2s.labels.sam"),
    ("experiments_are_predicted", has("experiment-run", source="1"), "No code cell calls sweep"),
    ("experiments_are_predicted", replaced("experiment", ":class:", ""), "'experiment-run' has no"),
    (
        "experiments_are_predicted",
        has("breaks-shown", source="l2s.sweep.sweep(f)"),
        "'breaks-shown' has no prediction",
    ),
    ("experiments_show_seeds", has("experiment-run", outputs=[]), "no number of seeds"),
    (
        "experiments_show_seeds",
        shows({"text/plain": "8 cells: 4 settings × 2 seeds"}, "experiment-run"),
        "shows 2 seeds",
    ),
    ("slider_is_there", has("play-slider", outputs=[]), "nothing to play with"),
    ("slider_is_there", has("play-slider", source="1"), "nothing to play with"),
    ("claims_are_there", has("claims-stated", outputs=[]), "No claim"),
    ("claims_cite_known_papers", claims(paper="nobody1999"), "'nobody1999'"),
    ("claims_have_seeds", claims(seeds=[1000]), "with 1 seeds"),
    ("breaking_is_shown", without("breaks-shown"), "where the method breaks"),
    ("breaking_is_shown", replaced("breaks", "breaks", "works"), "where the method breaks"),
    ("ending_is_complete", without("open"), "'What is still open'"),
    ("ending_is_complete", has("summary", source="## Summary\n\n" + "So. " * 6), "6 sentences"),
    ("ending_is_complete", replaced("reading", ",c2020", ""), "cites 2 works"),
    (
        "ending_is_complete",
        has("questions", source=f"## Check yourself\n\n{sample.QUESTION * 2}"),
        "folds away 2 answers",
    ),
    # hygiene
    ("kernel_is_python3", lambda raw: raw.metadata.kernelspec.update(name="mine"), "'mine'"),
    ("cell_ids_last", has("scratch", id="breaks"), "'breaks' stands twice"),
    ("cell_ids_last", has("scratch", id="0a1b2c3d"), "'0a1b2c3d' is random"),
    ("every_cell_has_run", has("scratch-checked", execution_count=None), "'scratch-checked'"),
    (
        "every_cell_has_run",
        has("problem-shown", metadata={"tags": ["skip-execution"]}),
        "'problem-shown' has the tag skip-execution and stores",
    ),
    ("outputs_are_clean", prints("UserWarning: no", stream="stderr"), "stderr ('UserWarning"),
    (
        "outputs_are_clean",
        lambda raw: cell(raw, "breaks-shown").outputs.append(
            new_output("error", ename="ValueError", evalue="", traceback=[])
        ),
        "ended with ValueError",
    ),
    (
        "outputs_are_clean",
        shows({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}),
        "live widget",
    ),
    ("text_fits_any_machine", prints("at /usr/me/book"), "a path"),
    ("text_fits_any_machine", prints(r"at C:\Users\me"), "a path"),
    ("text_fits_any_machine", prints("<object at 0x7f21c0a1>"), "a memory address"),
    ("text_fits_any_machine", prints("100% 3/3 [00:01<00:00]"), "a progress bar"),
    ("text_fits_any_machine", prints("(3 answered from the store)"), "results of an older run"),
    ("text_fits_any_machine", prints("took 3.2 s"), "a clock time"),
    ("text_fits_any_machine", prints("made 2026-01-02 10:30"), "a clock time"),
    ("text_fits_any_machine", has("breaks-shown", source='open("/var/x")'), "'breaks-shown' holds"),
    ("images_have_alt_texts", shows({"image/png": "aGk="}), "bare image"),
    ("images_have_alt_texts", shows({"text/html": '<img alt=" " src="x">'}), "without an alt"),
    ("images_have_alt_texts", shows({"text/html": "<svg></svg>"}), "inline <svg>"),
    ("images_have_alt_texts", replaced("scratch", "The", "![](x.png) The"), "without an alt"),
    ("size_is_bounded", prints("x" * 1_600_000), "the limit is 1.5 MB"),
    ("size_is_bounded", has("scratch-checked", source="1\n" * 41), "41 lines"),
    (
        "comments_fit_behind_their_code",
        has("breaks-shown", source="few = range(\n    5\n)  # for tuning alone"),
        "')  # for tuning alone'",
    ),
    (
        "versions_are_the_pinned_ones",
        lambda raw: raw.metadata.l2s.versions.update(torch="2.5"),
        "torch 2.5, but constraints.txt has 2.6",
    ),
    ("imports_point_down", has("breaks-shown", source="import l2s"), "l2s as a whole"),
    ("imports_point_down", has("breaks-shown", source="from l2s import _page"), "l2s._page"),
    (
        "imports_point_down",
        has("breaks-shown", source="from l2s.geometry.mixup import mix"),
        "l2s.geometry.mixup",
    ),
    ("imports_point_down", has("breaks-shown", source="import pytest"), "imports pytest"),
    ("imports_point_down", has("breaks-shown", source="from book import tools"), "imports book"),
]


@pytest.mark.parametrize("check", [*anatomy.CHECKS, *hygiene.CHECKS], ids=lambda c: c.__name__)
def test_the_good_sample_passes(check, tmp_path):
    assert check(sample.write(tmp_path)) == []


@pytest.mark.parametrize(("name", "change", "words"), BAD, ids=[f"{b[0]}-{b[2]}" for b in BAD])
def test_a_bad_notebook_is_told_what_to_mend(name, change, words, tmp_path):
    check = getattr(anatomy, name, None) or getattr(hygiene, name)
    problems = check(sample.write(tmp_path, change))
    assert len(problems) == 1
    assert words in problems[0]


def test_every_check_has_a_bad_notebook():
    tried = {name for name, _, _ in BAD} | {"outputs_are_those_of_these_cells"}
    assert tried == {check.__name__ for check in (*anatomy.CHECKS, *hygiene.CHECKS)}


@pytest.mark.parametrize(
    ("stale", "words"),
    [
        (lambda raw, root: replaced("breaks-shown", "0", "1")(raw), "The code cells changed"),
        (lambda raw, root: prints("other")(raw), "outputs were not written by a refresh"),
        (
            lambda raw, root: (root / "lib/l2s/labels/sample.py").write_text("ONE = 2\n"),
            "lib/l2s/labels/sample changed",
        ),
    ],
    ids=["cells", "outputs", "module"],
)
def test_stale_outputs_are_told_apart(stale, words, tmp_path):
    fresh = sample.write(tmp_path)
    stale(fresh.raw, tmp_path)
    problems = hygiene.outputs_are_those_of_these_cells(sample.store(fresh.raw, tmp_path))
    assert len(problems) == 1
    assert words in problems[0]


def test_a_new_text_or_address_makes_no_output_stale(tmp_path):
    fresh = sample.write(tmp_path)
    replaced("scratch", "shortest", "plainest")(fresh.raw)
    replaced("install", "@main", "@v1")(fresh.raw)
    assert hygiene.outputs_are_those_of_these_cells(sample.store(fresh.raw, tmp_path)) == []


def test_a_deeper_heading_or_a_fenced_one_starts_no_section(tmp_path):
    text = (
        "## Derivation\n\n#### Aside\n\n```\n# not a heading\n```\n\n:::{note}\n## nor this\n:::\n"
    )
    notebook = sample.write(tmp_path, has("derivation", source=text))
    assert [section.title for section in notebook.sections][:5] == [
        *("", "A sample", "Two and two", "Derivation", "From scratch"),
    ]


def test_a_module_of_an_earlier_chapter_may_be_used_and_of_a_later_one_not(tmp_path):
    def change(raw):
        raw.cells.append(new_code_cell("import l2s.labels.other as other", id="x"))

    notebook = sample.write(tmp_path, change)
    assert "l2s.labels.other" in hygiene.imports_point_down(notebook)[0]
    toc = (
        "root: book/preface\nparts: [{chapters: [{file: chapters/labels/%s}, {file: chapters/%s}]}]"
    )
    (tmp_path / "_toc.yml").write_text(toc % ("other", sample.NAME))
    assert hygiene.imports_point_down(notebook) == []


def test_the_link_to_released_exercises_is_needed_once_they_exist(tmp_path):
    notebook = sample.write(tmp_path)
    (tmp_path / "exercises/release/sample").mkdir(parents=True)
    assert "exercises/release/sample" in anatomy.ending_is_complete(notebook)[0]
