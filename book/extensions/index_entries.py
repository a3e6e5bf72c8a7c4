"""Let the search and the index find equations and theorems by their names.

An equation is named by its label: ``eq-contrastive-infonce`` is InfoNCE, in the spelling of the
page. A theorem is named by its title. Each name becomes an entry of the index, which the search
puts first. An entry leads to the sentence before the equation, so that a result shows words.
"""

import re
from collections import Counter
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class NameResults(SphinxTransform):
    """Add the entries, before Sphinx collects them (which is at 850)."""

    default_priority = 600

    def apply(self, **kwargs: Any) -> None:
        """Go through the page's labelled equations and its theorems."""
        text = self.document.astext()
        for equation in list(self.document.findall(nodes.math_block)):
            if name := name_of(equation.get("label") or "", self.env.docname, text):
                place = _sentence_before(equation)
                identifier = f"index-{equation['label']}"
                place["ids"].append(identifier)
                _add_entry(place, name, identifier)
        for theorem in list(self.document.findall(_has_title)):
            title = theorem["title"].strip().removeprefix("(").removesuffix(")")
            _add_entry(theorem, title, theorem["ids"][0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(NameResults)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def name_of(label: str, docname: str, text: str) -> str:
    """Return an equation's name: its label behind ``eq-slug-``, spelled as in the text."""
    prefix = f"eq-{docname.rpartition('/')[2].replace('_', '-')}-"
    if not label.startswith(prefix):
        return ""
    words = label.removeprefix(prefix).replace("-", " ")
    spellings = Counter(re.findall(rf"\b{re.escape(words)}\b", text, re.IGNORECASE))
    return spellings.most_common(1)[0][0] if spellings else words


def _sentence_before(equation: nodes.math_block) -> nodes.Element:
    parent = equation.parent
    before = parent[: parent.index(equation)]
    paragraphs = [node for node in before if isinstance(node, nodes.paragraph)]
    return paragraphs[-1] if paragraphs else equation


def _add_entry(node: nodes.Element, name: str, identifier: str) -> None:
    entry = addnodes.index(entries=[("single", name, identifier, "main", None)], inline=False)
    node.parent.insert(node.parent.index(node), entry)


def _has_title(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element) and bool(node.get("realtype") and node.get("title"))
