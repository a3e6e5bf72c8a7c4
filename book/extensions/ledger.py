"""The claims ledger."""

from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Nothing yet."""
