"""The checks that explain: each can fail, says what it should, and trusts no answer's methods."""

import numpy as np
import pytest
import torch
from l2s.exercises import Disarmed, Mismatch, at_most, expect, falls, gradients, judge, peak_memory
from torch.utils.checkpoint import checkpoint


def look_at_square(answer, generator):
    x = torch.randn(3, generator=generator)
    expect("the square", answer(x), x**2)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0), torch.tensor(2), True + 1])
def test_any_kind_of_number_is_understood(value):
    expect("two", value, 2.0)
    with pytest.raises(Mismatch, match="expected 3, but got 2"):
        expect("three", value, 3.0)


def test_the_hint_is_that_of_the_mistake():
    mistakes = [(4.0, "doubled"), (-2.0, "sign")]
    with pytest.raises(Mismatch, match="Hint: sign$"):
        expect("it", -2.0, 2.0, mistakes=mistakes, hint="other")
    with pytest.raises(Mismatch, match="Hint: other$"):
        expect("it", 7.0, 2.0, mistakes=mistakes, hint="other")
    with pytest.raises(Mismatch, match=r"got 7\.$"):
        expect("it", 7.0, 2.0)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "got None. Hint: Does your function return"),
        ("2", "got a str"),
        (torch.zeros(2), r"expected the shape \(\), but got the shape \(2,\)"),
        (float("nan"), "NaN or infinity"),
        (torch.tensor(float("inf")), "an exponential overflows"),
    ],
)
def test_what_is_no_right_number_is_named(got, words):
    with pytest.raises(Mismatch, match=words):
        expect("it", got, 2.0)


def test_where_the_first_numbers_agree_the_message_shows_the_place_of_the_worst():
    right = torch.arange(12.0).reshape(3, 4)
    wrong = right.clone()
    wrong[1, 2], wrong[2, 3] = 6.5, 99.0
    with pytest.raises(Mismatch, match=r"table, at \[2, 3\]: expected 11, but got 99\."):
        expect("the table", wrong, right)
    wrong[0, 1] = 7.0
    with pytest.raises(Mismatch, match=r"table: expected \[0, 1, 2, 3, \.\.\.\], but got \[0, 7"):
        expect("the table", wrong, right)


def test_a_tensor_that_lies_about_itself_is_refused():
    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return True

    with pytest.raises(Mismatch, match="got a Liar"):
        expect("it", torch.tensor(1.0).as_subclass(Liar), 2.0)


def test_falling_and_limits():
    falls("it", "x grows", [3.0, torch.tensor(2.0), 1], hint="")
    for values in ([1.0, 2.0], [1.0, 1.0], [1.0, float("nan")]):
        with pytest.raises(Mismatch, match="must fall when x grows"):
            falls("it", "x grows", values, hint="sign?")
    at_most("it", 2.0, 2.0, hint="")
    for value in (2.1, float("nan")):
        with pytest.raises(Mismatch, match="at most 2"):
            at_most("it", value, 2.0, hint="")


def test_gradients_say_where_none_flows():
    x, y = (torch.tensor(3.0, requires_grad=True) for _ in range(2))
    assert gradients("it", x * y, [x, y]) == [3.0, 3.0]
    with pytest.raises(Mismatch, match="reaches 1 of its inputs"):
        gradients("it", x * y.detach(), [x, y])
    for value in (9.0, (x * y).detach()):
        with pytest.raises(Mismatch, match="no gradient flows"):
            gradients("it", value, [x, y])


def test_a_right_answer_is_believed_and_a_wrong_one_told(capsys):
    judge(look_at_square, lambda x: x**2)
    assert capsys.readouterr().out == "The checks hold.\n"
    with pytest.raises(Mismatch, match="the square"):
        judge(look_at_square, lambda x: x**3)
    with pytest.raises(NotImplementedError):
        judge(look_at_square, _not_implemented)


@pytest.mark.parametrize("blind", [lambda answer, generator: None, lambda a, g: a(torch.ones(2))])
def test_a_check_that_sees_nothing_is_not_believed(blind):
    with pytest.raises(Disarmed, match="known to be wrong"):
        judge(blind, lambda x: x**2)


def test_a_check_without_gradients_or_without_memory_is_not_believed():
    with pytest.raises(Disarmed):
        judge(look_at_square, lambda x: x**2, checks_gradient=True)
    with pytest.raises(Disarmed):
        judge(look_at_square, lambda x: x**2, wrong=[lambda x: x * x])


def test_fresh_seeds_differ_and_a_given_one_does_not():
    drawn = []

    def look(answer, generator):
        drawn.append(torch.rand((), generator=generator).item())
        expect("one", answer(), 1.0)

    for seed in (5, 5, None, None):
        judge(look, lambda: torch.tensor(1.0), seed=seed)
    first, again, *fresh = (drawn[at] for at in range(0, len(drawn), len(drawn) // 4))
    assert first == again
    assert fresh[0] != fresh[1]


def test_peak_memory_counts_what_the_graph_keeps():
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)

    def layers(x):
        for _ in range(10):
            x = x.sin()
        return x.sum()

    kept = peak_memory(lambda: torch.autograd.grad(layers(x), x))
    again = peak_memory(
        lambda: torch.autograd.grad(
            sum(checkpoint(lambda v: v.sin().sum(), x, use_reentrant=False) for _ in range(10)), x
        )
    )
    with torch.no_grad():
        alone = peak_memory(lambda: layers(x))
    assert kept >= 10 * 8000
    assert again < 6 * 8000
    assert alone < 4 * 8000
    assert peak_memory(lambda: None) == 0


def test_views_and_changes_in_place_take_no_memory():
    x = torch.ones(1000, dtype=torch.float64)
    assert peak_memory(lambda: x.view(10, 100).T.add_(1)) == 0


def _not_implemented(x):
    raise NotImplementedError
