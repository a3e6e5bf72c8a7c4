"""From the units of a training script to those of the theory."""

from jaxtyping import Float
from torch import Tensor

from l2s import checks

# What multiplies the sum of squared errors, for each name; P is the number of samples.
_LOSSES = {
    "half sum": (0.5, False),
    "sum": (1.0, False),
    "half mean": (0.5, True),
    "mean": (1.0, True),
}


@checks.typed
def theory_time(
    steps: int | Float[Tensor, " times"],
    *,
    step_size: float,
    samples: int,
    parameters: int,
    loss: str = "mean",
    input_scale: float = 1.0,
) -> float | Float[Tensor, " times"]:
    r"""Convert steps of plain gradient descent to the theory's time.

    The theory has inputs of variance 1/N and half the sum of squared errors. Inputs of standard
    deviation s are :math:`s \sqrt N` times larger, and a weight as much smaller; so

    .. math:: t = k\, \eta\, 2c\, s^2 N, \qquad \text{loss} = c \sum_p (y_p - \hat y_p)^2

    With ``torch.nn.functional.mse_loss`` and standardised inputs, c = 1/P and t = 2 k η / α.

    Args:
        steps: k, the number of steps, at least 0: a number, or a floating tensor of them.
        step_size: η, the learning rate, above 0.
        samples: P, at least 1.
        parameters: N, at least 1.
        loss: "mean" (PyTorch's default), "sum", "half mean" or "half sum" of squared errors.
        input_scale: s, the standard deviation of an input, above 0; 1 / sqrt(N) is the theory's.

    Returns:
        t, of the type of ``steps``.

    Raises:
        ValueError: If a number is out of its range or the loss has another name.

    >>> theory_time(100, step_size=0.05, samples=400, parameters=200)  # 2 k eta / alpha
    5.0
    >>> theory_time(100, step_size=0.05, samples=4, parameters=4, loss="half sum", input_scale=0.5)
    5.0
    """
    checks.positive("step_size", step_size)
    checks.at_least("samples", samples, 1, "Pass the number of training samples.")
    scale = theory_variance(1.0, parameters=parameters, input_scale=input_scale)
    checks.one_of("loss", loss, tuple(_LOSSES))
    least = float(steps.min()) if isinstance(steps, Tensor) else steps
    checks.not_negative("steps", least)
    factor, mean = _LOSSES[loss]
    unit = step_size * 2 * factor / (samples if mean else 1) * scale
    return steps.double() * unit if isinstance(steps, Tensor) else steps * unit


@checks.typed
def theory_variance(variance: float, *, parameters: int, input_scale: float = 1.0) -> float:
    r"""Convert the variance of a weight, of teacher or start, to the theory's.

    .. math:: \sigma^2_{\text{theory}} = s^2 N\, \sigma^2

    so that the output keeps its variance when inputs of deviation s shrink to :math:`1/\sqrt N`.

    Args:
        variance: That of one weight in the script, at least 0.
        parameters: N, at least 1.
        input_scale: s, the standard deviation of an input, above 0.

    Raises:
        ValueError: If a number is out of its range.

    >>> theory_variance(1 / 200, parameters=200)  # a teacher of length 1 on standardised inputs
    1.0
    """
    checks.not_negative("variance", variance)
    checks.at_least("parameters", parameters, 1, "Pass the number of weights.")
    checks.positive("input_scale", input_scale)
    return variance * input_scale**2 * parameters
