"""Claims: what a paper says, what we measured, and whether our finding still holds.

A claim's ``statement`` is our own finding, and ``holds`` is its test: a claim that stops being
true breaks the run, also where it is a negative one. ``verdict`` says what the finding means for
the paper. Each claim leaves a card for the reader and a JSON output for the ledger.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from l2s import _page, checks

__all__ = [
    "COLORS",
    "MIME_TYPE",
    "VERDICTS",
    "Claim",
    "ClaimFailed",
    "Measurement",
    "claim",
    "mean_sd",
    "seeds_text",
]

MIME_TYPE = "application/vnd.l2s.claim+json"
SCHEMA = 1  # of the JSON output: counted up when a key changes its meaning

COLORS = {
    "reproduced": _page.PALETTE[2],
    "reproduced at small scale": _page.PALETTE[0],
    "not reproduced": _page.PALETTE[3],
    "out of reach here": _page.INK,
}
VERDICTS = tuple(COLORS)


class ClaimFailed(AssertionError):  # noqa: N818  it is an assertion that failed, and says so
    """A finding that no longer holds."""


@dataclass(frozen=True)
class Measurement:
    """One measured quantity; ``sd`` is None where there was a single value."""

    name: str
    mean: float
    sd: float | None
    n: int
    text: str


@dataclass(frozen=True)
class Claim:
    """A claim as it was shown."""

    id: str
    paper: str
    statement: str
    paper_value: str
    measured: tuple[Measurement, ...]
    holds: bool | None
    verdict: str
    seeds: tuple[int, ...]
    setting: str
    reason: str

    def _ipython_display_(self) -> None:
        """Stay silent: the card was shown when the claim was made."""


@checks.typed
def claim(
    id: str,
    *,
    paper: str,
    statement: str,
    paper_value: str | float,
    verdict: str,
    measured: Mapping[str, Any] | None = None,
    holds: bool | np.bool_ | None = None,
    seeds: Sequence[Any] | np.ndarray = (),
    setting: str = "",
    reason: str = "",
) -> Claim:
    """State a finding about a paper's claim, show it as a card, and assert it.

    Args:
        id: Its address on the page is ``claim-ID``: lower-case letters, digits, hyphens.
        paper: The BibTeX key of the paper.
        statement: Our finding, in one sentence.
        paper_value: What the paper says, with its number and where it stands.
        verdict: What the finding means for the paper's claim: one of ``VERDICTS``.
        measured: Quantities by name: a number, or a sequence with one value for each seed.
        holds: Whether the finding holds, tested with a margin.
        seeds: The seeds, as many as each sequence has values.
        setting: Data, sizes and budget.
        reason: Why; needed for "not reproduced" and "out of reach here".

    Returns:
        The claim, which a notebook does not echo.

    Raises:
        ClaimFailed: If ``holds`` is false, after the card was shown.
        ValueError: If an argument is missing, blank, not finite or does not fit another.

    >>> made = claim(
    ...     "larger-is-better",
    ...     paper="someone2020",
    ...     statement="Accuracy rises with the batch.",
    ...     paper_value="Table 1: 61.8 % to 64.6 %",
    ...     measured={"gain": [0.02, 0.03, 0.04]},
    ...     holds=True,
    ...     verdict="reproduced at small scale",
    ...     seeds=[1000, 1001, 1002],
    ... )
    >>> made.measured[0].text
    '0.030 ± 0.010 (sd, 3 seeds)'
    """
    checks.one_of("verdict", verdict, VERDICTS)
    _page.check_name("id", id)
    for name, text in (("statement", statement), ("paper_value", str(paper_value))):
        _page.check_text(name, text, "A reader of the ledger needs it.")
    _check_key(paper)
    _check_verdict(verdict, measured, holds, reason)
    _check_seeds(seeds)
    made = Claim(
        id=id,
        paper=paper,
        statement=statement,
        paper_value=str(paper_value),
        measured=tuple(
            _measurement(name, values, len(seeds)) for name, values in (measured or {}).items()
        ),
        holds=None if holds is None else bool(holds),
        verdict=verdict,
        seeds=tuple(int(seed) for seed in seeds),
        setting=setting,
        reason=reason,
    )
    _page.display(_card(made), _text(made), {MIME_TYPE: _json(made)})
    if made.holds is False:
        raise ClaimFailed(f"The finding no longer holds.\n{_text(made)}")
    return made


def mean_sd(values: Any) -> str:
    """Write values, one for each seed, as text: the mean to the digits that the spread allows.

    The standard deviation has two significant digits, and the mean ends where it ends.

    Args:
        values: Finite numbers, shape (seeds,), at least one.

    Returns:
        For example ``0.417 ± 0.012 (sd, 3 seeds)``.

    Raises:
        ValueError: If there is no value, or one is not finite.

    >>> mean_sd([0.405, 0.417, 0.429])
    '0.417 ± 0.012 (sd, 3 seeds)'
    >>> mean_sd([1180, 1300, 1240, 1200])
    '1230 ± 53 (sd, 4 seeds)'
    >>> mean_sd([0.5])
    '0.5 (1 seed)'
    >>> mean_sd([0.25, 0.25 + 1e-15])
    '2.50000e-01 ± 7.1e-16 (sd, 2 seeds)'
    >>> mean_sd([2e-7, 3e-7])
    '2.50e-07 ± 7.1e-08 (sd, 2 seeds)'
    """
    array = _page.numbers("values", values)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"`values` has shape {array.shape}, but (seeds,) is needed. Pass one value a seed."
        )
    return _reduced("values", array).text


@checks.typed
def seeds_text(seeds: Sequence[int]) -> str:
    """Write seeds as text, consecutive ones as a range.

    >>> seeds_text([1000, 1001, 1002, 1003])
    '1000 to 1003'
    >>> seeds_text([3, 5])
    '3, 5'
    """
    if len(seeds) > 3 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(str(seed) for seed in seeds)


def _check_verdict(verdict: str, measured: object, holds: object, reason: str) -> None:
    if verdict in ("not reproduced", "out of reach here"):
        _page.check_text("reason", reason, f"The verdict {verdict!r} needs the most likely reason.")
    if verdict == "out of reach here":
        if measured or holds is not None:
            raise ValueError(
                "`measured` and `holds` are given, but what is out of reach here was not measured. "
                "Leave them out, or choose another verdict."
            )
    elif not measured or holds is None:
        raise ValueError(
            f"`measured` is {measured!r} and `holds` is {holds!r}, but the verdict {verdict!r} "
            "needs both. Pass what was measured and a test of the finding."
        )


def _check_key(paper: str) -> None:
    if not re.fullmatch(r"[A-Za-z][\w:.-]*", paper):
        raise ValueError(
            f"`paper` is {paper!r}, but must be a BibTeX key. Pass one of book/references.bib."
        )


def _check_seeds(seeds: Sequence[Any] | np.ndarray) -> None:
    if not all(isinstance(seed, int | np.integer) for seed in seeds):
        raise TypeError(f"`seeds` is {seeds!r}, but must hold integers. Pass the runs' seeds.")
    repeated = sorted({int(seed) for seed in seeds if list(seeds).count(seed) > 1})
    if repeated:
        raise ValueError(
            f"`seeds` repeats {repeated}, but a run repeated adds nothing. Pass each seed once."
        )


def _measurement(name: str, values: Any, seeds: int) -> Measurement:
    """Check a number, or a sequence with one for each seed, and reduce it."""
    argument = f"measured[{name!r}]"
    _page.check_text("measured", name, "Name each quantity.")
    array = _page.numbers(argument, values)
    if array.ndim > 1 or not array.size:
        raise ValueError(
            f"`{argument}` has shape {array.shape}. "
            "Pass a number, or a sequence with one number for each seed."
        )
    if array.ndim == 1 and len(array) != seeds:
        raise ValueError(
            f"`{argument}` has {len(array)} values, but `seeds` has {seeds}. "
            "Pass the seeds of exactly these values."
        )
    return _reduced(name, array)


def _reduced(name: str, array: np.ndarray) -> Measurement:
    """Mean, standard deviation over the seeds and both as text."""
    count = array.size
    mean = float(array.mean())
    sd = float(array.std(ddof=1)) if count > 1 else None
    return Measurement(name, mean, sd, count, _spread_text(mean, sd, count, array.ndim))


def _spread_text(mean: float, sd: float | None, count: int, dimensions: int) -> str:
    if sd is None:
        return f"{mean:.4g}" + (" (1 seed)" if dimensions else "")
    if sd == 0:
        return f"{mean:.4g} ± 0 (sd, {count} seeds)"
    last = _exponent(sd) - 1  # the power of ten of the last digit that is written
    if -7 < last < 4:
        places = max(0, -last)
        pair = [f"{round(value, -last):.{places}f}" for value in (mean, sd)]
    else:
        # Where seeds agree to rounding, six digits of the mean say all that a reader can use.
        digits = min(5, max(0, _exponent(mean) - last)) if mean else 0
        pair = [f"{mean:.{digits}e}", f"{sd:.1e}"]
    return f"{pair[0]} ± {pair[1]} (sd, {count} seeds)"


def _exponent(value: float) -> int:
    """The power of ten of the first of two significant digits."""
    return int(f"{value:.1e}".split("e")[1])


def _json(made: Claim) -> dict[str, Any]:
    measured = [
        {
            "name": item.name,
            "mean": _four_digits(item.mean),
            "sd": None if item.sd is None else _four_digits(item.sd),
            "n": item.n,
            "text": item.text,
        }
        for item in made.measured
    ]
    return {
        **asdict(made),
        "measured": measured,
        "seeds": list(made.seeds),
        "schema": SCHEMA,
    }


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def _rows(made: Claim) -> list[tuple[str, str]]:
    """What stands on the card below the verdict and the finding, without empty entries."""
    measured = "; ".join(f"{item.name} {item.text}" for item in made.measured)
    rows = [
        ("Paper", f"{made.paper}: {made.paper_value}"),
        ("Measured", measured),
        ("Seeds", seeds_text(made.seeds)),
        ("Setting", made.setting),
        ("Reason", made.reason),
    ]
    return [(head, text) for head, text in rows if text]


def _heading(made: Claim) -> str:
    failed = " (our finding no longer holds)" if made.holds is False else ""
    return made.verdict.capitalize() + failed


def _text(made: Claim) -> str:
    lines = [f"{_heading(made)} [{made.id}]", made.statement]
    return "\n".join(lines + [f"{head}: {text}" for head, text in _rows(made)])


def _card(made: Claim) -> str:
    """The card, its text in the page's colour: the verdict's suit lines, not small letters."""
    color = COLORS[made.verdict]
    rows = "".join(f"<div><b>{head}</b> {html.escape(text)}</div>" for head, text in _rows(made))
    return (
        f'<div class="l2s-claim" id="claim-{made.id}" style="border:1px solid {color};'
        "border-left-width:6px;border-radius:4px;padding:.6em .9em;margin:.8em 0;"
        'max-width:46em;font-size:.9em;line-height:1.5;overflow-wrap:anywhere">'
        f"<div><b>{html.escape(_heading(made))}</b> · "
        f'<span style="font-family:monospace">{made.id}</span></div>'
        f"<div>{html.escape(made.statement)}</div>{rows}</div>"
    )
