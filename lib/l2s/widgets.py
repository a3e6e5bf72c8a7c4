"""Things to play with: a slider that needs no kernel, and live controls for those who have one.

A stepper is plain HTML around pictures drawn beforehand, so it works on the site, from a file, in
JupyterLab and in Colab. Where scripts are off, its start frame stands alone as an ordinary figure.
"""

import html
import struct
from collections.abc import Callable, Sequence
from typing import Any

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
    frames: Sequence[Figure | bytes],
    *,
    values: Sequence[str | float],
    label: str,
    alt: str | Sequence[str],
    name: str,
    caption: str,
    start: int = 0,
) -> None:
    """Show a slider over pictures drawn beforehand.

    Args:
        frames: At least two figures of one size (or PNG bytes, for dense images); they are closed.
        values: What the reader sees beside the slider for each frame, for example "τ = 0.10".
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
    markup, text = _stepper(frames, values, label, alt, name, caption, start)
    _page.display(markup, text)
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


def _stepper(
    frames: Sequence[Figure | bytes],
    values: Sequence[str | float],
    label: str,
    alt: str | Sequence[str],
    name: str,
    caption: str,
    start: int,
) -> tuple[str, str]:
    """The stepper's HTML, and the alt text of its start frame."""
    count = len(frames)
    checks.at_least("frames", count, 2, "Show a single picture with plot.show.")
    checks.in_range("start", start, 0, count - 1)
    _page.check_name("name", name)
    _page.check_text("label", label, "Name what the slider moves.")
    _page.check_text("caption", caption, "Write what the figure shows.")
    shown = [value if isinstance(value, str) else f"{value:g}" for value in values]
    _one_each("values", shown, count)
    alts = [f"{alt} ({value})" for value in shown] if isinstance(alt, str) else list(alt)
    _one_each("alt", [alt] if isinstance(alt, str) else alts, 1 if isinstance(alt, str) else count)
    pictures = _pictures(frames, alts, shown, start)
    control = f"fig-{name}-control"
    value = html.escape(shown[start])
    inside = (
        f'{_STYLE}{pictures}<div style="display:flex;flex-wrap:wrap;gap:.3em .8em;'
        f'align-items:center"><label for="{control}" hidden>{html.escape(label)}</label>'
        f'<input type="range" id="{control}" min="0" max="{count - 1}" value="{start}" '
        f'autocomplete="off" style="flex:1;min-width:9em;max-width:20em;height:1.7em" '
        f'aria-valuetext="{value}" oninput="{html.escape(_ONINPUT)}" hidden>'
        f'<output for="{control}">{value}</output></div>'
    )
    markup = _page.framed(inside, kind="l2s-stepper", name=name, caption=caption)
    _within_budget(len(markup.encode()), count)
    return markup, alts[start]


def _one_each(argument: str, texts: Sequence[str], count: int) -> None:
    if len(texts) != count:
        raise ValueError(
            f"`{argument}` has {len(texts)} entries for {count} frames. Pass one for each frame."
        )
    for text in texts:
        _page.check_text(argument, text, "Write what this frame shows.")


def _pictures(
    frames: Sequence[Figure | bytes], alts: Sequence[str], shown: Sequence[str], start: int
) -> str:
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


def _size(frame: Figure | bytes) -> tuple[int, int]:
    if isinstance(frame, Figure):
        return image.page_size(frame)
    if not frame.startswith(b"\x89PNG\r\n\x1a\n") or len(frame) < 24:
        raise ValueError(
            f"`frames` holds bytes that begin with {frame[:8]!r}, which is no PNG. "
            "Pass figures, or bytes from plot.png."
        )
    width, height = struct.unpack(">II", frame[16:24])
    scale = _page.PIXELS_PER_INCH / image.DPI
    return round(width * scale), round(height * scale)


def _within_budget(size: int, count: int) -> None:
    if size > BUDGET:
        raise ValueError(
            f"The stepper takes {size / 1000:.0f} kB for {count} frames, above the budget of "
            f"{BUDGET / 1000:.0f} kB. Use fewer frames, fewer points a line, or, for dense "
            "pictures, PNG bytes from plot.png."
        )
