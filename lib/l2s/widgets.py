"""Things to play with: a slider that needs no kernel, and live controls for those who have one.

A stepper is plain HTML around pictures drawn beforehand, so it works on the site, from a file, in
JupyterLab and in Colab. Where scripts are off, its start frame stands alone as an ordinary figure.
"""

import html
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from l2s import _page, checks
from l2s.plot import image

__all__ = ["live", "stepper"]

BUDGET = 700_000  # bytes of one stepper: a notebook has 1.5 MB for all its outputs

# Handlers in attributes run wherever HTML is put on a page; a script tag does not run when a
# notebook sets it as innerHTML. The slider is hidden until the start frame's onload has run: then
# scripts are on, and the figure is near the screen, so that its other frames may load.
_ONLOAD = (
    "for(const e of this.closest('figure').querySelectorAll('[hidden]'))"
    "e.tagName=='IMG'?e.loading='eager':e.hidden=false"
)
_ONINPUT = (
    "const f=this.closest('figure'),m=f.querySelectorAll('img'),v=m[this.value].dataset.value;"
    "m.forEach((e,i)=>e.hidden=i!=this.value);"
    "f.querySelector('output').value=v;this.setAttribute('aria-valuetext',v)"
)
# Themes may give images a display of their own, which would win over `hidden`.
_STYLE = (
    "<style>.l2s-stepper [hidden]{display:none!important}"
    "@media print{.l2s-stepper input{display:none}}</style>"
)


@checks.typed
def stepper(
    frames: Sequence[Any],
    *,
    values: Sequence[Any],
    label: str,
    alt: str | Sequence[Any],
    name: str,
    caption: str,
    start: int = 0,
) -> None:
    """Show a slider over pictures drawn beforehand.

    Args:
        frames: At least two figures of one size (or PNG bytes, for dense images); they are closed.
        values: What the reader sees beside the slider for each frame: a text such as "τ = 0.10",
            or a number.
        label: What the slider moves, for example "temperature τ".
        alt: What is to be seen: one text for each frame, or one for all, to which the frame's
            value is added.
        name: Its address on the page is ``fig-NAME``: lower-case letters, digits, hyphens.
        caption: The text below it.
        start: The frame shown first, in print, and where scripts are off: the most telling one.

    Raises:
        ValueError: If counts or sizes do not fit, a text is blank, or the output is above 700 kB.

    >>> from l2s import plot
    >>> pictures = [plot.figure()[0] for _ in range(2)]
    >>> stepper(pictures, values=["τ = 0.1"], label="τ", alt="...", name="tau", caption="...")
    Traceback (most recent call last):
    ValueError: `values` has 1 entries for 2 frames. Pass one for each frame.
    """
    count = len(frames)
    checks.at_least("frames", count, 2, "Show a single picture with plot.show.")
    checks.in_range("start", start, 0, count - 1)
    _page.check_name("name", name)
    _page.check_text("label", label, "Name what the slider moves.")
    _page.check_text("caption", caption, "Write what the figure shows.")
    shown = _texts("values", [_as_text(value) for value in values], count)
    if isinstance(alt, str):
        _page.check_text("alt", alt, "Describe what is to be seen in the frames.")
        alts = [f"{alt} ({value})" for value in shown]
    else:
        alts = _texts("alt", alt, count)
    inside = _STYLE + _pictures(frames, alts, shown, start) + _control(name, label, shown, start)
    markup = _page.framed(inside, kind="l2s-stepper", name=name, caption=caption)
    _check_budget(len(markup.encode()), count)
    _page.display(markup, alts[start])
    for frame in frames:
        if isinstance(frame, Figure):
            image.close(frame)


def live(function: Callable[..., Any], /, **controls: Any) -> Any:
    """Recompute a function as its controls move, in a running kernel.

    A thin name for ``ipywidgets.interact``: a number, a pair (low, high), a list or a widget for
    each argument. It needs a kernel, so the site leaves out the output of its cell; give readers
    there a ``stepper``.

    Args:
        function: Called with the controls' values; what it displays or returns is shown.
        **controls: One for each argument of the function.

    Returns:
        What ``ipywidgets.interact`` returns: the function.

    Raises:
        ValueError: If there is no control.
    """
    if not callable(function):
        raise TypeError(f"`function` is {function!r}, but must be callable. Pass a function.")
    if not controls:
        raise ValueError("`controls` is empty. Name at least one, for example tau=(0.05, 1.0).")
    import ipywidgets

    return ipywidgets.interact(function, **controls)


def _as_text(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, int | float | np.number) else value


def _texts(argument: str, texts: Sequence[Any], count: int) -> list[str]:
    """Check that there is one text for each frame."""
    if len(texts) != count:
        raise ValueError(
            f"`{argument}` has {len(texts)} entries for {count} frames. Pass one for each frame."
        )
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"`{argument}` holds {text!r}, but must hold texts. Pass strings.")
        _page.check_text(argument, text, "Write what each frame shows.")
    return list(texts)


def _control(name: str, label: str, shown: Sequence[str], start: int) -> str:
    """The labelled slider, hidden until scripts are known to run, and the value beside it."""
    control = f"fig-{name}-control"
    value = html.escape(shown[start])
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:.3em .8em;align-items:center">'
        f'<label for="{control}" hidden>{html.escape(label)}</label>'
        f'<input type="range" id="{control}" min="0" max="{len(shown) - 1}" value="{start}" '
        'autocomplete="off" style="flex:1;min-width:9em;max-width:20em;height:1.7em" '
        f'aria-valuetext="{value}" oninput="{html.escape(_ONINPUT)}" hidden>'
        f'<output for="{control}">{value}</output></div>'
    )


def _pictures(frames: Sequence[Any], alts: Sequence[str], shown: Sequence[str], start: int) -> str:
    sizes = [_size(frame) for frame in frames]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"`frames` have the sizes {sorted(set(sizes))}, so the page would jump. "
            "Draw all frames at one size."
        )
    images = []
    for place, (frame, alt, value) in enumerate(zip(frames, alts, shown, strict=True)):
        extra = f' data-value="{html.escape(value)}"'
        extra += f' onload="{html.escape(_ONLOAD)}"' if place == start else " hidden"
        source = frame if isinstance(frame, bytes) else image.svg(frame)
        images.append(_page.image(source, alt=alt, size=sizes[place], extra=extra))
    return "".join(images)


def _size(frame: Any) -> tuple[int, int]:
    if isinstance(frame, Figure):
        return image.page_size(frame)
    if not isinstance(frame, bytes):
        raise TypeError(
            f"`frames` holds {frame!r}, which is neither a figure nor bytes. "
            "Pass figures, or bytes from plot.png."
        )
    if not frame.startswith(b"\x89PNG\r\n\x1a\n") or len(frame) < 24:
        raise ValueError(
            f"`frames` holds bytes that begin with {frame[:8]!r}, which is no PNG. "
            "Pass figures, or bytes from plot.png."
        )
    width, height = struct.unpack(">II", frame[16:24])
    scale = _page.PIXELS_PER_INCH / image.DPI
    return round(width * scale), round(height * scale)


def _check_budget(size: int, count: int) -> None:
    if size > BUDGET:
        raise ValueError(
            f"The stepper takes {size / 1000:.0f} kB for {count} frames, above the budget of "
            f"{BUDGET / 1000:.0f} kB. Use fewer frames, fewer points a line, or, for dense "
            "pictures, PNG bytes from plot.png."
        )
