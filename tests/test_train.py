"""The loop does what its plan says, stops where it must, and costs next to nothing."""

import math
import pickle
import statistics
import time

import numpy as np
import pytest
import torch
from l2s.train import DivergedError, cosine_with_warmup, fit
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

X = torch.linspace(-1, 1, 16)[:, None]
Y = 2 * X + 1


def line():
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return model


def train(model=None, batches=None, *, rate=0.1, loss=None, **changes):
    model = model or line()
    plan = {"steps": 5, "optimizer": torch.optim.SGD(model.parameters(), lr=rate), **changes}
    batches = [(X, Y)] if batches is None else batches
    return fit(model, loss or (lambda batch: mse_loss(model(batch[0]), batch[1])), batches, **plan)


def test_fit_equals_a_loop_written_by_hand():
    torch.manual_seed(0)
    ours, theirs = (nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01) for model in (ours, theirs)]
    schedules = [cosine_with_warmup(o, steps=20, warmup=5) for o in optimizers]
    history = train(ours, optimizer=optimizers[0], schedule=schedules[0], steps=20)
    losses = []
    for _ in range(20):
        optimizers[1].zero_grad()
        value = mse_loss(theirs(X), Y)
        losses.append(value.item())
        value.backward()
        optimizers[1].step()
        schedules[1].step()
    assert history.loss.tolist() == losses
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_history_holds_plain_arrays():
    model = line()
    history = train(model, evaluate=lambda: {"bias": model.bias.item()}, every=2)
    assert history.loss.shape == (5,)
    assert history.loss.dtype == np.float64
    assert history.metric_steps.tolist() == [0, 2, 4, 5]
    assert history.metrics["bias"].dtype == np.float64
    assert history.metrics["bias"][0] == 0  # the untrained model
    assert (np.diff(history.metrics["bias"]) > 0).all()
    assert (history.stopped_at, history.best_step) == (5, None)


def test_the_last_step_is_evaluated_once_and_alone_without_every():
    assert train(evaluate=lambda: {"m": 1.0}, steps=4, every=2).metric_steps.tolist() == [0, 2, 4]
    assert train(evaluate=lambda: {"m": 1.0}).metric_steps.tolist() == [5]
    assert train().metrics == {}


def test_modes_and_gradients_while_training_and_evaluating():
    model = line()
    seen = []

    def loss(batch):
        seen.append(("step", model.training, torch.is_grad_enabled()))
        return mse_loss(model(batch[0]), batch[1])

    def evaluate():
        seen.append(("evaluate", model.training, torch.is_grad_enabled()))
        return {"m": torch.tensor(0.5)}  # a scalar tensor is a number too

    model.eval()
    train(model, loss=loss, evaluate=evaluate, every=1, steps=2)
    evaluate_, step = ("evaluate", False, False), ("step", True, True)
    assert seen == [evaluate_, step, evaluate_, step, evaluate_]
    assert model.training


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_early_stop_restores_the_earliest_best_weights(mode, sign):
    model = line()
    scores = iter([0.1, 0.5, 0.9, 0.9, 0.2, 0.8, 1.0])
    biases = []

    def evaluate():
        biases.append(model.bias.item())
        return {"score": sign * next(scores)}

    history = train(
        model, evaluate=evaluate, every=3, patience=3, monitor="score", mode=mode, steps=100
    )
    assert history.metric_steps.tolist() == [0, 3, 6, 9, 12, 15]
    assert (history.stopped_at, history.best_step) == (15, 6)
    assert len(history.loss) == 15
    assert model.bias.item() == biases[2] != biases[-1]


def test_monitor_without_patience_runs_to_the_end_and_may_keep_the_untrained_model():
    model = line()
    history = train(
        model, evaluate=lambda: {"bias": model.bias.item()}, every=1, monitor="bias", mode="min"
    )
    assert (history.stopped_at, history.best_step) == (5, 0)
    assert model.bias.item() == 0


def test_buffers_are_restored_with_the_weights():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    scores = iter([0.0, 1.0, 0.5])
    means = []

    def evaluate():
        means.append(model[0].running_mean.item())
        return {"score": next(scores)}

    batches = [(X + 3, Y)]
    train(model, batches, evaluate=evaluate, every=1, monitor="score", mode="max", steps=2)
    assert model[0].running_mean.item() == means[1] != means[2]


def test_batches_come_from_a_function_of_the_step():
    steps = []
    train(batches=lambda step: steps.append(step) or (X, Y))
    assert steps == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["list", "loader"])
def test_an_iterable_that_can_start_anew_is_passed_through_again(kind):
    seen = []
    model = line()
    pairs = [(X[i : i + 1], Y[i : i + 1]) for i in range(3)]
    batches = pairs if kind == "list" else DataLoader([(x[0], y[0]) for x, y in pairs])

    def loss(batch):
        seen.append(round(batch[0].item(), 3))
        return mse_loss(model(batch[0]), batch[1])

    train(model, batches, loss=loss, steps=7)
    first = [round(x.item(), 3) for x, _ in pairs]
    assert seen == [*first, *first, first[0]]


def test_no_more_batches_are_read_than_are_used():
    stream = iter([(X, Y)] * 7)
    train(batches=stream, steps=5)
    assert len(list(stream)) == 2


@pytest.mark.parametrize(("batches", "given"), [(iter([(X, Y)] * 3), 3), ([], 0), (iter([]), 0)])
def test_batches_that_run_out_are_an_error_with_a_remedy(batches, given):
    with pytest.raises(ValueError, match=f"`batches` ran out after {given} of 5 .*Pass a function"):
        train(batches=batches)


def test_a_diverging_run_stops_and_names_step_loss_rate_and_remedy():
    with pytest.raises(DivergedError, match="Lower the learning rate") as caught:
        train(rate=50.0, steps=1000)
    error = caught.value
    assert 0 < error.step < 100
    assert not math.isfinite(error.loss)
    assert error.learning_rate == 50.0
    for part in (f"step {error.step}", "rate 50", "try 2e+01"):
        assert part in str(error)
    assert isinstance(error, ValueError)


def test_nan_data_are_blamed_at_the_first_step():
    with pytest.raises(DivergedError, match=r"at step 0: loss nan.*look for NaN in the data"):
        train(batches=[(X * math.nan, Y)])


def test_a_last_update_that_ruins_the_weights_is_seen():
    model = line()
    with pytest.raises(DivergedError, match="A weight became NaN or infinite at step 0: loss"):
        train(model, loss=lambda batch: 10 * mse_loss(model(X), Y), rate=1e38, steps=1)


def test_the_rate_that_is_named_is_the_schedules():
    model = line()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = cosine_with_warmup(optimizer, steps=10, warmup=4)
    batches = [(X, Y), (X * math.nan, Y)]
    with pytest.raises(DivergedError) as caught:
        train(model, batches, optimizer=optimizer, schedule=schedule)
    assert (caught.value.step, caught.value.learning_rate) == (1, 0.5)


def test_the_error_survives_the_way_back_from_a_worker():
    error = DivergedError("The loss", 3, math.inf, 0.1)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.step, again.loss, again.learning_rate) == (3, math.inf, 0.1)


def test_cosine_with_warmup_follows_its_formula():
    optimizer = torch.optim.SGD(line().parameters(), lr=0.3)
    schedule = cosine_with_warmup(optimizer, steps=50, warmup=10, floor=0.2)
    for step in range(60):
        if step < 10:
            expected = (step + 1) / 10
        else:
            along = min((step - 10) / 40, 1)
            expected = 0.2 + 0.8 * (1 + math.cos(math.pi * along)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * expected)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("warmup", [0, 6])
def test_cosine_starts_at_the_peak_without_warmup_and_may_be_all_warmup(warmup):
    optimizer = torch.optim.SGD(line().parameters(), lr=0.6)
    cosine_with_warmup(optimizer, steps=6, warmup=warmup)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 if warmup else 0.6)


def test_a_bar_is_shown_only_when_asked_and_allowed(capfd, monkeypatch):
    monkeypatch.delenv("L2S_PROGRESS", raising=False)
    train()
    assert capfd.readouterr() == ("", "")
    train(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "5/5" in err
    monkeypatch.setenv("L2S_PROGRESS", "0")
    train(progress=True)
    assert capfd.readouterr() == ("", "")


def test_the_loop_costs_little_beyond_the_callers_work():
    model = line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = X, Y

    def by_hand(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            value = mse_loss(model(x), y)
            value.backward()
            optimizer.step()

    def seconds_a_step(run, steps=300):
        start = time.thread_time()  # a busy machine does not change it
        run(steps)
        return (time.thread_time() - start) / steps

    ours = lambda steps: train(model, optimizer=optimizer, steps=steps)  # noqa: E731
    by_hand(50), ours(50)
    extra = [seconds_a_step(ours) - seconds_a_step(by_hand) for _ in range(9)]
    assert statistics.median(extra) < 50e-6


METRIC = {"evaluate": lambda: {"m": 1.0}, "every": 1}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, ValueError, "`steps` is 0"),
        ({"steps": 2.5}, TypeError, "`steps` is 2.5"),
        ({**METRIC, "every": 0}, ValueError, "`every` is 0.*Pass None"),
        ({"every": 2}, ValueError, "`every` is 2 but `evaluate` is None"),
        ({"monitor": "m", "mode": "max"}, ValueError, "`monitor` is 'm' but `evaluate` is None"),
        ({**METRIC, "monitor": "m"}, ValueError, "`mode` is None.*mode='min'"),
        ({**METRIC, "mode": "min"}, ValueError, "`mode` is 'min' but `monitor` is None"),
        ({**METRIC, "monitor": "m", "mode": "best"}, TypeError, "`mode` is 'best'"),
        ({**METRIC, "patience": 2}, ValueError, "`patience` is 2 but `monitor` is None"),
        (
            {**METRIC, "every": None, "patience": 2, "monitor": "m", "mode": "max"},
            ValueError,
            "`patience` is 2 but `every` is None",
        ),
        (
            {**METRIC, "patience": 0, "monitor": "m", "mode": "max"},
            ValueError,
            "`patience` is 0",
        ),
        (
            {**METRIC, "monitor": "accuracy", "mode": "max"},
            ValueError,
            r"`monitor` is 'accuracy', but `evaluate` returned \['m'\]",
        ),
        (
            {"evaluate": lambda: {"m": math.nan}, "monitor": "m", "mode": "max"},
            ValueError,
            "NaN for the monitored 'm' after 5 steps",
        ),
        ({"batches": X}, TypeError, r"`batches` is a tensor.*row by row. Pass \[tensor\]"),
        ({"batches": 3}, TypeError, "`batches` is 3"),
        ({"optimizer": torch.optim.SGD(line().parameters())}, ValueError, "none of the model's"),
        ({"loss": lambda batch: 0.5}, TypeError, "`loss` returned 0.5 .*Leave out .item"),
        ({"loss": lambda batch: X.sum()}, ValueError, "without a gradient"),
        ({"model": "line"}, TypeError, "`model` is 'line'"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    model = line()
    arguments = {
        "model": model,
        "loss": lambda batch: mse_loss(model(batch[0]), batch[1]),
        "batches": [(X, Y)],
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "steps": 5,
        **changes,
    }
    with pytest.raises(error, match=words):
        fit(**arguments)


def test_a_loss_that_is_not_a_scalar_is_named():
    model = line()
    with pytest.raises(ValueError, match=r"shape \(16, 1\).*\.mean\(\)"):
        train(model, loss=lambda batch: (model(batch[0]) - batch[1]).square())


@pytest.mark.parametrize("before", [False, True])
def test_means_of_a_gradient_that_is_zero_do_not_slow_a_step_down(before):
    model = nn.Linear(2, 1)
    dark = torch.tensor([[0.0, 1.0]])  # from the second step on, the first input is never seen
    adam = torch.optim.Adam(model.parameters())

    def batches(step):
        return torch.ones(1, 2) if step == 0 else dark

    def loss(batch):
        return model(batch).square().mean()

    torch.set_flush_denormal(before)
    try:
        fit(model, loss, batches, optimizer=adam, steps=1200)
        assert bool(torch.tensor(1e-40) * 1.0 == 0.0) is before  # as it was
        momentum = adam.state[model.weight]["exp_avg"].flatten()
        assert momentum.numpy()[0] == 0.0  # 0.9^1200 = 1e-55, by way of 1e-40
    finally:
        torch.set_flush_denormal(False)


def test_metrics_that_change_their_names_are_an_error():
    names = iter(["a", "b"])
    with pytest.raises(ValueError, match=r"returned \['b'\] after 1 steps, but \['a'\] before"):
        train(evaluate=lambda: {next(names): 1.0}, every=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "`steps` is 0"),
        ({"warmup": -1}, "`warmup` is -1"),
        ({"warmup": 11}, "`warmup` is 11.*0 and 10"),
        ({"floor": 1.5}, "`floor` is 1.5"),
    ],
)
def test_a_bad_schedule_is_named(changes, words):
    optimizer = torch.optim.SGD(line().parameters())
    with pytest.raises(ValueError, match=words):
        cosine_with_warmup(optimizer, **{"steps": 10, **changes})
