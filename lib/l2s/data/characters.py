"""English with code in it, as characters: the reference manual that every Python brings along."""

import string
from dataclasses import dataclass
from importlib import import_module

import torch
from jaxtyping import Int
from torch import Tensor

from l2s import checks

ALPHABET = "\n" + string.digits + string.ascii_letters + string.punctuation + " "
_TEST_EVERY = 8  # of the topics, one in this many is kept for the test


@dataclass(frozen=True, eq=False)
class Characters:
    """A text in two parts that share no topic; see ``python_manual``.

    Attributes:
        train: The characters to learn from, numbers from 0 to ``len(alphabet) - 1``.
        test: The characters to measure on.
        alphabet: What each number stands for.
    """

    train: Int[Tensor, " characters"]
    test: Int[Tensor, " characters"]
    alphabet: str

    def text(self, numbers: Tensor) -> str:
        """Spell numbers out."""
        return "".join(self.alphabet[number] for number in numbers.tolist())


@checks.typed
def python_manual() -> Characters:
    """Return the language reference that ``help()`` shows, about 450,000 characters.

    Characters beyond ASCII are left out, so that the alphabet is the same for every version of
    Python; the text differs a little between versions. The true distribution is unknown.

    Returns:
        ``Characters``; one topic in eight is in the test part.

    Raises:
        ImportError: If this Python was packed without ``pydoc_data``.

    >>> manual = python_manual()
    >>> len(manual.alphabet), len(manual.train) > 300_000, len(manual.test) > 30_000
    (96, True, True)
    >>> manual.text(manual.train[:22])
    'The "assert" statement'
    """
    try:
        topics = import_module("pydoc_data.topics").topics
    except ImportError as error:
        remedy = (
            "Install Python's standard library in full (on Debian: apt install libpython3-stdlib)."
        )
        raise ImportError(f"This Python has no `pydoc_data`, its manual. {remedy}") from error
    parts: tuple[list[str], list[str]] = ([], [])
    for place, name in enumerate(sorted(topics)):
        parts[place % _TEST_EVERY == _TEST_EVERY - 1].append(topics[name])
    train, test = ("\n\n".join(part) for part in parts)
    return Characters(_numbers(train), _numbers(test), ALPHABET)


@checks.typed
def windows(
    text: Int[Tensor, " characters"], count: int, length: int, *, generator: torch.Generator
) -> Int[Tensor, "count length"]:
    """Cut windows from a text at random places.

    Args:
        text: Numbers of characters.
        count: How many windows, 1 or more.
        length: Characters of each, at most those of the text.
        generator: The source of randomness.

    Returns:
        One window a row.

    Raises:
        ValueError: count below 1, or a length that the text does not have.
    """
    checks.at_least("count", count, 1, "Pass how many windows to cut.")
    checks.in_range("length", length, 1, len(text))
    starts = torch.randint(len(text) - length + 1, (count, 1), generator=generator)
    return text[starts + torch.arange(length)]


def _numbers(text: str) -> Tensor:
    place = {character: number for number, character in enumerate(ALPHABET)}
    return torch.tensor([place[character] for character in text if character in place])
