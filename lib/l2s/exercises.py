"""Checks of exercises that explain a failure: what was expected, what came, and a fitting hint.

A check is a function ``look(answer, generator)`` that raises ``Mismatch`` for a wrong answer.
``judge`` runs it on the student's function, and believes it only if it fails on functions that are
known to be wrong: the canaries. So a check that somebody has disarmed earns nothing.
"""

import itertools
import math
import random
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from l2s import _page

__all__ = [
    *("Disarmed", "Mismatch", "at_most", "expect", "falls"),
    *("gradients", "judge", "peak_memory", "same_gradients"),
]

PROOF = "application/vnd.l2s.checked+json"

Answer = Callable[..., Any]
Look = Callable[[Answer, torch.Generator], None]


class Mismatch(AssertionError):  # noqa: N818 (it is the answer that does not match)
    """An answer is not what was expected; the message says how to go on."""


class Disarmed(RuntimeError):  # noqa: N818 (a state of the check)
    """A check passes on functions that are known to be wrong, so it says nothing."""


def expect(
    what: str,
    got: Any,
    expected: Any,
    *,
    mistakes: Iterable[tuple[Any, str]] = (),
    hint: str = "",
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Raise ``Mismatch`` unless a value is the expected one.

    abs(got - expected) <= atol + rtol * abs(expected)

    Args:
        what: The name of the value, such as "the loss at temperature 0.5".
        got: What the student's function returned: a number, an array or a tensor.
        expected: The right value.
        mistakes: Pairs of a value that a likely mistake gives, and the hint for it.
        hint: What to say where no likely mistake fits.
        rtol: Relative tolerance, for the expected value and for mistakes.
        atol: Absolute tolerance.

    Raises:
        Mismatch: With what was expected, what came, and one hint.

    >>> expect("the loss", torch.tensor(0.5), 0.5)
    >>> expect("the loss", -0.5, 0.5, mistakes=[(-0.5, "Look at the sign.")])
    Traceback (most recent call last):
    l2s.exercises.Mismatch: the loss: expected 0.5, but got -0.5. Hint: Look at the sign.
    >>> expect("the loss", None, 0.5)
    Traceback (most recent call last):
    l2s.exercises.Mismatch: the loss: expected 0.5, but got None. Hint: Does your function return...
    """
    right = _array(expected)
    if got is None:
        raise Mismatch(_says(what, right, "None", "Does your function return its result?"))
    came = _student_array(what, got)
    if came.shape != right.shape:
        shapes = f"{came.shape}: {_short(came)}"
        raise Mismatch(_says(what, f"the shape {right.shape}", f"the shape {shapes}", hint))
    if _close(came, right, rtol, atol):
        return
    if not np.isfinite(came).all() and np.isfinite(right).all():
        overflow = "NaN or infinity: an exponential overflows, or 0 is divided or taken the log of."
        raise Mismatch(_says(what, right, came, f"{overflow} {hint}".strip()))
    fitting = (text for value, text in mistakes if _matches(came, _array(value), rtol, atol))
    raise Mismatch(_says(what, right, came, next(fitting, hint)))


def falls(what: str, cause: str, values: Sequence[Any], *, hint: str) -> None:
    """Raise ``Mismatch`` unless the values fall strictly from first to last.

    Args:
        what: The name of the value.
        cause: Why it must fall, such as "the positive gets closer".
        values: What came, at least two numbers.
        hint: What to think about.

    Raises:
        Mismatch: With the first two values that do not fall.

    >>> falls("your loss", "the positive gets closer", [0.9, 0.5, 0.1], hint="sign?")
    >>> falls("your loss", "the positive gets closer", [0.1, 0.5], hint="sign?")
    Traceback (most recent call last):
    l2s.exercises.Mismatch: your loss must fall when the positive gets closer, but went from 0.1 ...
    """
    numbers = [float(_student_array(what, value).reshape(-1)[0]) for value in values]
    for before, after in itertools.pairwise(numbers):
        if not after < before:
            came = f"went from {before:.6g} to {after:.6g}"
            raise Mismatch(f"{what} must fall when {cause}, but {came}. Hint: {hint}")


def at_most(what: str, got: float, limit: float, *, hint: str) -> None:
    """Raise ``Mismatch`` where a number is above its limit.

    Args:
        what: The name of the number, such as "the peak memory in bytes".
        got: What was measured.
        limit: The largest number that is accepted.
        hint: What to think about.

    Raises:
        Mismatch: With the limit, what came, and the hint.

    >>> at_most("the peak memory in bytes", 100, 200, hint="")
    >>> at_most("the peak memory in bytes", 300, 200, hint="Is all of it needed at once?")
    Traceback (most recent call last):
    l2s.exercises.Mismatch: the peak memory in bytes: expected at most 200, but got 300. Hint: Is...
    """
    if not got <= limit:
        raise Mismatch(_says(what, f"at most {limit:,.6g}", f"{got:,.6g}", hint))


def gradients(what: str, value: Any, inputs: Sequence[Tensor], *, hint: str = "") -> list[Tensor]:
    """Return the gradients of a scalar in some tensors, or raise ``Mismatch`` if none flows.

    Args:
        what: The name of the value.
        value: What the student's function returned; a scalar tensor.
        inputs: Leaf tensors with ``requires_grad``.
        hint: What to think about where no gradient flows.

    Returns:
        One gradient for each input, of its shape.

    Raises:
        Mismatch: The value depends on none of the inputs, or not on all.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> gradients("your loss", x**2, [x])
    [tensor(6.)]
    >>> gradients("your loss", (x**2).detach(), [x], hint="no .item(), no .detach()")
    Traceback (most recent call last):
    l2s.exercises.Mismatch: no gradient flows through your loss. Hint: no .item(), no .detach()
    """
    if type(value) is not Tensor or not value.requires_grad:
        raise Mismatch(_hinted(f"no gradient flows through {what}", hint))
    found = torch.autograd.grad(value, list(inputs), allow_unused=True)
    missing = sum(one is None for one in found)
    if missing:
        raise Mismatch(_hinted(f"no gradient of {what} reaches {missing} of its inputs", hint))
    return list(found)


def same_gradients(
    what: str,
    value: Any,
    expected: Tensor,
    inputs: Mapping[str, Tensor],
    *,
    mistakes: Iterable[tuple[Tensor, str]] = (),
    hint: str = "",
    flow: str = "",
) -> None:
    """Raise ``Mismatch`` unless a scalar has the gradients of the expected one.

    Args:
        what: The name of the value.
        value: What the student's function returned; a scalar tensor.
        expected: A scalar with the right gradients.
        inputs: Names, and leaf tensors with ``requires_grad``.
        mistakes: Pairs of a scalar with the gradients of a likely mistake, and the hint for it.
        hint: What to say where a gradient is wrong and no likely mistake fits.
        flow: What to think about where no gradient flows.

    Raises:
        Mismatch: As ``gradients``, or with the name of the first input whose gradient is wrong.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> same_gradients("your loss", x**2, x * x, {"x": x})
    >>> same_gradients("your loss", x**2, x**3, {"x": x}, hint="Which power?")
    Traceback (most recent call last):
    l2s.exercises.Mismatch: the gradient of x: expected 27, but got 6. Hint: Which power?
    """
    leaves = list(inputs.values())
    ours = gradients(what, value, leaves, hint=flow)
    theirs = torch.autograd.grad(expected, leaves)
    others = [(torch.autograd.grad(scalar, leaves), text) for scalar, text in mistakes]
    for at, name in enumerate(inputs):
        fitting = [(wrong[at], text) for wrong, text in others]
        expect(f"the gradient of {name}", ours[at], theirs[at], mistakes=fitting, hint=hint)


def peak_memory(run: Callable[[], Any]) -> int:
    """Return the largest number of bytes that tensors made by a function hold at once.

    Counts the storages of results of torch operations while they live, forward and backward; what
    an operation uses inside itself is not seen. Deterministic, unlike the memory of the process.

    Args:
        run: A function without arguments.

    Returns:
        Bytes, 0 or more.

    >>> peak_memory(lambda: torch.ones(1000, dtype=torch.float64) + 1)
    16000
    >>> peak_memory(lambda: [None for _ in range(9) if torch.ones(1000) is None])  # one at a time
    4000
    """
    meter = _Meter()
    with meter:
        run()
    return meter.peak


def judge(
    look: Look,
    answer: Answer,
    *,
    wrong: Sequence[Answer] = (),
    seed: int | None = 0,
    checks_gradient: bool = False,
) -> None:
    """Run a check on an answer, and believe it only if it fails on functions known to be wrong.

    Answer and canaries are looked at in an order drawn afresh. A canary returns the answer's own
    values, negated, moved or set to zero: wrong wherever the answer is right.

    Args:
        look: ``look(answer, generator)`` raises where the answer is wrong.
        answer: The student's function.
        wrong: Further functions that the check must reject.
        seed: Seed of the generator that ``look`` gets; None draws a fresh one.
        checks_gradient: Also try a canary with the right value and a wrong gradient.

    Raises:
        Mismatch: The answer is wrong. Any other exception of the answer comes through as it is.
        Disarmed: The check passes on a wrong function.

    >>> def look(answer, generator):
    ...     expect("the square of 3", answer(3.0), 9.0)
    >>> judge(look, lambda x: x * x)
    The checks hold.
    >>> judge(lambda answer, generator: None, lambda x: x * x)
    Traceback (most recent call last):
    l2s.exercises.Disarmed: this check passes on functions that are known to be wrong, so it...
    """
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    spoilers = [_negated, _moved, _zero] + [_steeper] * checks_gradient
    candidates = [answer, *wrong, *(_spoiled(answer, spoil) for spoil in spoilers)]
    order = list(range(len(candidates)))
    random.SystemRandom().shuffle(order)
    verdicts = {at: _verdict(look, candidates[at], seed) for at in order}
    if (problem := verdicts.pop(0)) is not None:
        raise problem
    if None in verdicts.values():
        raise Disarmed(
            "this check passes on functions that are known to be wrong, so it says nothing. "
            "Has a cell changed torch, l2s or Python itself? Undo it, restart the kernel, and run "
            "all cells."
        )
    _show_proof(look, seed, len(verdicts))


def _verdict(look: Look, answer: Answer, seed: int) -> Exception | None:
    try:
        look(answer, torch.Generator().manual_seed(seed))
    except Exception as problem:  # whatever an answer may raise
        return problem
    return None


def _spoiled(answer: Answer, spoil: Callable[[Any], Any]) -> Answer:
    def canary(*args: Any, **kwargs: Any) -> Any:
        value = answer(*args, **kwargs)
        return tuple(map(spoil, value)) if isinstance(value, tuple) else spoil(value)

    return canary


def _negated(value: Any) -> Any:
    return -value


def _moved(value: Any) -> Any:
    return value * 1.25 + 0.5


def _zero(value: Any) -> Any:
    return value * 0


def _steeper(value: Any) -> Any:
    return 2 * value - value.detach() if isinstance(value, Tensor) else value + 1


def _show_proof(look: Look, seed: int, canaries: int) -> None:
    """Say that the check held; where a notebook listens, also in a form that a grader reads."""
    nonce = getattr(look, "__globals__", {}).get("L2S_NONCE")
    if nonce is None:
        print("The checks hold.")
        return
    proof = {"nonce": nonce, "seed": seed, "canaries": canaries}
    _page.display("<p>The checks hold.</p>", "The checks hold.", {PROOF: proof})


class _Meter(TorchDispatchMode):
    """Add up the bytes of storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage_key(leaf) for leaf in tree_leaves((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            key = _storage_key(leaf)
            if key is not None and key not in given and key not in self._alive:
                self._count(leaf.untyped_storage(), key)
        return result

    def _count(self, storage: Any, key: int) -> None:
        size = storage.nbytes()
        self._alive.add(key)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size


def _storage_key(leaf: Any) -> int | None:
    return leaf.untyped_storage()._cdata if isinstance(leaf, Tensor) else None


def _student_array(what: str, value: Any) -> np.ndarray[Any, Any]:
    """Convert what a student's function returned, trusting no method of its own."""
    plain = (Tensor, torch.nn.Parameter, np.ndarray, float, int, bool)
    if type(value) not in plain and not isinstance(value, np.generic):
        raise Mismatch(f"{what}: expected a number or a tensor, but got a {type(value).__name__}.")
    return _array(value)


def _array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, Tensor):
        value = value.detach().double().numpy()
    return np.asarray(value, dtype=np.float64)


def _close(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], rtol: float, atol: float) -> bool:
    return bool((np.abs(a - b) <= atol + rtol * np.abs(b)).all())


def _matches(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], rtol: float, atol: float) -> bool:
    return a.shape == b.shape and _close(a, b, max(rtol, 1e-5), atol)


def _says(what: str, expected: Any, got: Any, hint: str) -> str:
    if isinstance(got, np.ndarray) and got.ndim and _short(expected) == _short(got):
        # What is shown of both is the same: show where they differ most.
        gap = np.nan_to_num(np.abs(got - expected), nan=np.inf)
        place = np.unravel_index(gap.argmax(), gap.shape)
        what = f"{what}, at {[int(one) for one in place]}"
        expected, got = expected[place], got[place]
    return _hinted(f"{what}: expected {_short(expected)}, but got {_short(got)}", hint)


def _hinted(problem: str, hint: str) -> str:
    return f"{problem}. Hint: {hint}" if hint else f"{problem}."


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    values = [f"{one:.6g}" for one in value.reshape(-1)[:4]]
    if value.ndim == 0:
        return values[0]
    return f"[{', '.join(values)}{', ...' if math.prod(value.shape) > 4 else ''}]"
