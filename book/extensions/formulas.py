r"""Keep lines steady around formulas: room before one is set, and no stop left alone behind it.

MathJax sets formulas after the text is shown. Their TeX is longer than they are: ``\(\mathbb{R}\)``
becomes one letter. A rough count of what is seen, within a letter or two, keeps line breaks where
they will be; accessibility.css uses it until the formula is there.

A browser may break a line behind a formula, and the next line begins with a comma. So a formula
and the marks that follow it are held together.
"""

import html
import re
from typing import Any

from sphinx.application import Sphinx

INLINE = re.compile(r'<span class="math notranslate nohighlight">\\\((.*?)\\\)</span>', re.DOTALL)
_FORMULA = INLINE.pattern.replace("(.*?)", r"(?:(?!\\\)</span>).)*")
STOPPED = re.compile(
    rf"((?:<a\b[^>]*>(?:<span\b[^>]*>)?)?{_FORMULA}(?:(?:</span>)?</a>)?[.,;:!?)]+)", re.DOTALL
)

# Widths in em, at MathJax's usual size beside text.
LETTER, CAPITAL, FENCE, COMMA, POINT, PRIME = 0.6, 1.0, 0.5, 0.55, 0.34, 0.3
SIGN, SIGN_IN_INDEX, SPACE = 1.6, 0.95, 0.3
SMALL = 0.75  # the size of indices and fractions
_NARROW = {",": COMMA, ".": POINT, "'": PRIME, **dict.fromkeys("()[]|<", FENCE)}

_GROUP = r"(?:\{((?:[^{}]|\{[^{}]*\})*)\}|(\\[a-zA-Z]+|[^\\{}]))"
_FRACTION = re.compile(r"\\[td]?frac\s*" + _GROUP + r"\s*" + _GROUP)
_SCRIPT = re.compile(r"[_^]\s*" + _GROUP)
_SIGN = re.compile(
    r"[=<>+\-]|\\(?:in|to|le|ge|leq|geq|ne|neq|approx|sim|propto|times|cdot|pm|ll|gg)\b"
)
_DOTS = re.compile(r"\\[lc]?dots\b")
_WIDE = re.compile(r"\\infty\b")
_WORD = re.compile(r"\\(log|exp|max|min|sup|inf|sin|cos|tanh|arg|dim|det|Pr|ln|lim)\b")
_UNSEEN = re.compile(
    r"\\(?:mathrm|mathbb|mathbf|mathcal|mathit|operatorname|text|boldsymbol|bm|hat|bar|tilde|vec"
    r"|overline|widehat|left|right|[bB]ig+[lr]?|limits|displaystyle)\b\*?|\\[!]|[{}$~]"
)
_SPACE = re.compile(r"\\(?:[,;:> ]|quad\b)")
_FENCE = re.compile(r"\\(?:[lr](?:angle|vert|Vert|brace|floor|ceil)|[{}|])(?![a-zA-Z])")
_SYMBOL = re.compile(r"\\[a-zA-Z]+|\\.")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run on every page, after its body is written."""
    app.connect("html-page-context", _reserve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def width(tex: str, sign: float = SIGN) -> float:
    """About how wide a formula is, in em of the text around it; ``sign`` is the room of a sign."""
    total = 0.0
    while match := _FRACTION.search(tex):
        above, below = (match[1] or match[2] or ""), (match[3] or match[4] or "")
        total += SMALL * max(width(above, SIGN_IN_INDEX), width(below, SIGN_IN_INDEX))
        tex = tex[: match.start()] + tex[match.end() :]
    while match := _SCRIPT.search(tex):
        total += SMALL * width(match[1] or match[2] or "", SIGN_IN_INDEX)
        tex = tex[: match.start()] + tex[match.end() :]
    tex = _WIDE.sub("X", _DOTS.sub("xx", tex))
    tex, words = _WORD.subn(r"\1", tex)
    tex, spaces = _SPACE.subn("", tex)
    tex, signs = _SIGN.subn("", _FENCE.sub("|", tex))
    seen = re.sub(r"\s", "", _SYMBOL.sub("x", _UNSEEN.sub("", tex)))
    return total + sum(map(_letter, seen)) + sign * signs + SPACE * (spaces + words)


def _letter(seen: str) -> float:
    return _NARROW.get(seen, CAPITAL if seen.isupper() else LETTER)


def _reserve(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: object) -> None:
    held = STOPPED.sub(r'<span class="l2s-held">\1</span>', context.get("body", ""))
    context["body"] = INLINE.sub(_with_width, held)


def _with_width(match: re.Match[str]) -> str:
    room = width(html.unescape(match[1]))
    return match[0].replace("<span", f'<span style="--room: {room:.1f}em"', 1)
