import json
import re
import statistics
import subprocess
import sys

import hypothesis
import nbformat
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import strategies as st
from l2s import _page
from l2s.claims import MIME_TYPE, VERDICTS, Claim, ClaimFailed, claim, mean_sd
from nbclient import NotebookClient

GOOD = {
    "id": "small-batch",
    "paper": "yeh2022",
    "statement": "DCL is ahead at batch 32.",
    "paper_value": "Table 1: 61.8 % to 64.6 %",
    "measured": {"gain": [0.02, 0.035, 0.04], "steps": 200},
    "holds": True,
    "verdict": "reproduced at small scale",
    "seeds": [1000, 1001, 1002],
    "setting": "digits, 20 epochs",
}
ABSENT = {
    **GOOD,
    "measured": None,
    "holds": None,
    "verdict": "out of reach here",
    "reason": "Cost.",
}


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed, as (html, text, {MIME type: data})."""
    bundles = []
    monkeypatch.setattr(_page, "display", lambda *bundle: bundles.append(bundle))
    return bundles


# What a claim leaves


def test_the_json_output_holds_everything(shown):
    claim(**GOOD)
    ((_, _, extra),) = shown
    data = extra[MIME_TYPE]
    assert json.loads(json.dumps(data)) == data
    assert data == {
        "id": "small-batch",
        "paper": "yeh2022",
        "statement": "DCL is ahead at batch 32.",
        "paper_value": "Table 1: 61.8 % to 64.6 %",
        "measured": [
            {
                "name": "gain",
                "mean": 0.03167,  # four significant digits
                "sd": 0.01041,
                "n": 3,
                "text": "0.032 ± 0.010 (sd, 3 seeds)",
            },
            {"name": "steps", "mean": 200.0, "sd": None, "n": 1, "text": "200"},
        ],
        "holds": True,
        "verdict": "reproduced at small scale",
        "seeds": [1000, 1001, 1002],
        "setting": "digits, 20 epochs",
        "reason": "",
        "schema": 1,
    }
    assert data["measured"][0]["mean"] == pytest.approx(statistics.fmean([0.02, 0.035, 0.04]), 1e-3)
    assert data["measured"][0]["sd"] == pytest.approx(statistics.stdev([0.02, 0.035, 0.04]), 1e-3)


def test_card_and_text_say_the_same(shown):
    claim(**GOOD)
    ((markup, text, _),) = shown
    card = BeautifulSoup(markup, "html.parser").div
    assert (card["class"], card["id"]) == (["l2s-claim"], "claim-small-batch")
    assert text.splitlines() == [
        "Reproduced at small scale [small-batch]",
        "DCL is ahead at batch 32.",
        "Paper: yeh2022: Table 1: 61.8 % to 64.6 %",
        "Measured: gain 0.032 ± 0.010 (sd, 3 seeds); steps 200",
        "Seeds: 1000, 1001, 1002",
        "Setting: digits, 20 epochs",
    ]
    words = re.sub(r"[:\s\[\]·]+", " ", text)
    assert re.sub(r"[:\s\[\]·]+", " ", card.get_text(" ")) == words


def test_the_verdict_is_a_word_and_a_colour_that_differs(shown):
    colors = set()
    for verdict in VERDICTS:
        claim(
            **{
                **(ABSENT if verdict == "out of reach here" else GOOD),
                "verdict": verdict,
                "reason": "r",
            }
        )
        card = BeautifulSoup(shown[-1][0], "html.parser").div
        assert verdict in card.get_text().lower()
        colors.add(re.search(r"border:1px solid (#\w+)", card["style"])[1])
        assert not re.search(r"(?<!-)\bcolor:|background", card["style"])  # the page's own
    assert len(colors) == len(VERDICTS)


def test_the_readers_text_is_escaped(shown):
    attack = "<script>alert(1)</script>"
    names = ("statement", "paper_value", "setting", "reason")
    claim(**{**GOOD, **dict.fromkeys(names, attack), "measured": {attack: 1}})
    card = BeautifulSoup(shown[0][0], "html.parser")
    assert not card.find_all("script")
    assert card.get_text().count(attack) == 5


def test_out_of_reach_needs_only_a_reason(shown):
    made = claim(**ABSENT)
    assert (made.holds, made.measured) == (None, ())
    assert shown[0][2][MIME_TYPE]["measured"] == []
    assert "Reason: Cost." in shown[0][1]


def test_a_finding_that_fails_raises_after_its_card(shown):
    with pytest.raises(ClaimFailed, match=re.escape("The finding no longer holds.")) as caught:
        claim(**{**GOOD, "holds": np.float64(1) > 2})
    assert isinstance(caught.value, AssertionError)
    ((markup, text, extra),) = shown
    assert text in str(caught.value)
    assert "gain 0.032 ± 0.010 (sd, 3 seeds)" in text
    assert "our finding no longer holds" in markup
    assert extra[MIME_TYPE]["holds"] is False


def test_arrays_tensors_and_ranges_do_as_well(shown):
    made = claim(
        **{
            **GOOD,
            "measured": {"a": np.array([1, 2, 4]), "b": torch.tensor([1.0, 2.0, 4.0])},
            "seeds": range(1000, 1003),
            "holds": np.True_,
        }
    )
    assert made.measured[0].mean == made.measured[1].mean
    assert made.holds is True
    assert claim(**{**GOOD, "seeds": np.arange(3)}).seeds == (0, 1, 2)
    assert claim(**{**GOOD, "seeds": [np.int64(3), 5, 4]}).seeds == (3, 5, 4)
    assert claim(**{**GOOD, "paper_value": 67.8}).paper_value == "67.8"


def test_a_row_of_seeds_is_written_short(shown):
    claim(**{**GOOD, "measured": {"a": range(20)}, "seeds": range(1000, 1020)})
    assert "Seeds: 1000 to 1019" in shown[0][1]


def test_outside_a_notebook_nothing_is_printed(capsys):
    assert isinstance(claim(**GOOD), Claim)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"verdict": "true"},
            ValueError,
            "`verdict` is 'true'. Pass one of 'reproduced', 'reproduced at small scale', "
            "'not reproduced', 'out of reach here'",
        ),
        ({"id": "Small_Batch"}, ValueError, "`id` is 'Small_Batch', but becomes an address"),
        ({"id": ""}, ValueError, "`id` is ''"),
        ({"paper": "Yeh et al. 2022"}, ValueError, "`paper` is 'Yeh et al. 2022', but must be a B"),
        ({"statement": " "}, ValueError, "`statement` is ' ', but must say something"),
        ({"paper_value": ""}, ValueError, "`paper_value` is '', but must say something"),
        ({"holds": 1}, TypeError, "`holds` is 1 of type int"),
        ({"holds": torch.tensor(True)}, TypeError, "`holds` is tensor(True) of type Tensor"),
        ({"holds": None}, ValueError, "`holds` is None, but the verdict 'reproduced at small"),
        ({"measured": {}}, ValueError, "`measured` is {} and `holds` is True, but the verdict"),
        ({"measured": [1.0]}, TypeError, "`measured` is [1.0] of type list"),
        ({"measured": {"": 1.0}}, ValueError, "`measured` is '', but must say something"),
        (
            {"measured": {"gain": [0.1, float("nan"), 0.2]}},
            ValueError,
            "`measured['gain']` holds 1 values that are NaN or infinite, out of 3. Find the run",
        ),
        ({"measured": {"gain": float("inf")}}, ValueError, "`measured['gain']` holds 1 values"),
        ({"measured": {"gain": "high"}}, ValueError, "`measured['gain']` is 'high', which is no"),
        ({"measured": {"gain": [0.1]}}, ValueError, "has 1 values, but `seeds` has 3. Pass the"),
        ({"seeds": ()}, ValueError, "`measured['gain']` has 3 values, but `seeds` has 0"),
        ({"measured": {"gain": []}, "seeds": ()}, ValueError, "`measured['gain']` has shape (0,)"),
        ({"measured": {"gain": [[1.0]]}}, ValueError, "`measured['gain']` has shape (1, 1)"),
        ({"seeds": [1, 2, 1]}, ValueError, "`seeds` repeats [1], but a run repeated adds nothing"),
        ({"seeds": [1.5, 2, 3]}, TypeError, "`seeds` is [1.5, 2, 3], but must hold integers"),
        ({"verdict": "not reproduced"}, ValueError, "`reason` is '', but must say something"),
        (
            {"verdict": "out of reach here", "reason": "Cost."},
            ValueError,
            "`measured` and `holds` are given, but what is out of reach here was not measured",
        ),
        (
            {"verdict": "out of reach here", "measured": None, "holds": None},
            ValueError,
            "`reason` is '', but must say something. The verdict 'out of reach here' needs",
        ),
    ],
)
def test_claim_rejects(shown, changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        claim(**{**GOOD, **changes})
    assert not shown


# Numbers as text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.405, 0.417, 0.429], "0.417 ± 0.012 (sd, 3 seeds)"),
        ([1.0, 1.0], "1 ± 0 (sd, 2 seeds)"),
        ([-0.1, 0.1], "0.00 ± 0.14 (sd, 2 seeds)"),
        ([0.99, 1.01, 1.0, 1.1996], "1.05 ± 0.10 (sd, 4 seeds)"),
        ([12000, 15000], "13500 ± 2100 (sd, 2 seeds)"),
        ([1e9, 2e9], "1.50e+09 ± 7.1e+08 (sd, 2 seeds)"),
        ([0.0, 1e-9], "5.0e-10 ± 7.1e-10 (sd, 2 seeds)"),
        ([0.123456], "0.1235 (1 seed)"),
        (torch.tensor([0.5, 0.25]), "0.38 ± 0.18 (sd, 2 seeds)"),
    ],
)
def test_mean_sd(values, text):
    assert mean_sd(values) == text


@hypothesis.given(
    st.lists(st.floats(-1e12, 1e12, allow_subnormal=False), min_size=2, max_size=6),
    st.sampled_from([1e-12, 1e-6, 1e-3, 1.0]),
)
def test_mean_sd_is_right_to_its_last_digit(values, scale):
    values = [value * scale for value in values]
    if 0 < np.std(values) < 1e-12 * np.abs(values).max():
        return  # the spread is rounding error of the numbers themselves
    mean, sd = (float(part) for part in mean_sd(values).split(" (")[0].split(" ± "))
    true_sd = float(np.std(values, ddof=1))
    assert sd == pytest.approx(true_sd, rel=0.051)
    assert mean == pytest.approx(float(np.mean(values)), abs=0.06 * true_sd, rel=6e-4 * (sd == 0))


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 0.5])
def test_mean_sd_needs_one_row(values):
    with pytest.raises(ValueError, match=re.escape("`values` has shape")):
        mean_sd(values)


def test_mean_sd_lets_no_nan_through():
    with pytest.raises(ValueError, match="`values` holds 1 values that are NaN"):
        mean_sd([1.0, float("nan")])


# In a notebook


def test_the_module_loads_neither_ipython_nor_matplotlib():
    code = "import sys, l2s.claims; print({'IPython', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


CELLS = [
    """
from l2s import plot, widgets
from l2s.claims import claim
def drawn(level):
    picture, axes = plot.figure()
    plot.mean_spread(axes, [1, 2], [[1, level], [2, 3]], label="a")
    plot.label_lines(axes)
    return picture
plot.show(drawn(2), alt="It rises.", name="rise", caption="A line.")
""",
    """
plot.show(drawn(2), alt="It rises.", name="rise-png", caption="A line.", format="png")
widgets.stepper([drawn(2), drawn(3)], values=["a", "b"], label="level", alt="It rises",
                name="level", caption="Two lines.")
""",
    """
claim("it-holds", paper="yeh2022", statement="It holds.", paper_value="Table 1",
      measured={"gain": [0.1, 0.2]}, holds=True, verdict="reproduced", seeds=[1000, 1001])
""",
    """
claim("it-fails", paper="yeh2022", statement="It holds.", paper_value="Table 1",
      measured={"gain": 0.1}, holds=False, verdict="reproduced")
""",
    "widgets.live(lambda tau: tau, tau=(0.0, 1.0));",
]


def test_a_notebook_keeps_the_outputs_and_shows_the_same_bytes_as_this_process(shown):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(notebook, kernel_name="python3", record_timing=False, allow_errors=True)
    client.execute()
    (figure,), pictures, (card,), (failed, error), (live,) = [
        cell.outputs for cell in notebook.cells
    ]
    names = {}
    for cell in CELLS[:3]:
        exec(cell, names)
    with pytest.raises(ClaimFailed):
        exec(CELLS[3], names)
    for output, (markup, text, *_), start in zip(
        [figure, *pictures, card, failed],
        shown,
        [
            '<figure class="l2s-figure" id="fig-rise"',
            '<figure class="l2s-figure" id="fig-rise-png"',
            '<figure class="l2s-stepper" id="fig-level"',
            '<div class="l2s-claim" id="claim-it-holds"',
            '<div class="l2s-claim" id="claim-it-fails"',
        ],
        strict=True,
    ):
        assert output.output_type == "display_data"
        assert output.data["text/html"].startswith(start)
        assert output.data["text/html"] == markup
        assert output.data["text/plain"] == text
    assert set(card.data) == {"text/html", "text/plain", MIME_TYPE}  # and no echo of the claim
    assert card.data[MIME_TYPE]["measured"][0]["n"] == 2
    assert (error.output_type, error.ename) == ("error", "ClaimFailed")
    assert "application/vnd.jupyter.widget-view+json" in live.data
