"""Two linear layers: the same function, learned along another path."""

import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments


@checks.typed
def deep_linear_flow(
    inputs: Float[Tensor, "samples parameters"],
    targets: Float[Tensor, " samples"],
    time: Float[Tensor, " times"],
    *,
    start: Float[Tensor, " parameters"],
    tolerance: float = 1e-9,
) -> Float[Tensor, "times parameters"]:
    r"""Gradient flow of a two-layer linear network :math:`\hat y = a^\top W x` from balance.

    Balanced means :math:`a a^\top = W W^\top`; then W has rank one, balance is kept, and the
    product w = W^T a obeys an equation of its own, whatever the hidden width:

    .. math:: \dot w = \lVert w \rVert\, \big(g + \hat w\, \langle \hat w, g \rangle\big), \qquad
        g = X^\top (y - Xw), \quad \hat w = w / \lVert w \rVert

    The part of w in directions without data is not frozen: it grows with the square root of ‖w‖.

    Args:
        inputs: X, shape (samples, parameters), of any scale.
        targets: y, shape (samples,).
        time: Times of the flow on half the sum of squared errors: finite, rising, from 0 on.
        start: w(0), shape (parameters,), not 0: there nothing would ever move.
        tolerance: The relative error that the integrator aims at, above 0.

    Returns:
        The product w at each time, float64, one row a time.

    Raises:
        ValueError: If shapes do not fit, a value is NaN, the start is 0 or times fall.
        RuntimeError: If the integrator does not reach the last time.

    >>> inputs, targets = torch.eye(2), torch.tensor([1.0, 0.0])
    >>> start = torch.tensor([0.01, 0.0])
    >>> deep_linear_flow(inputs, targets, torch.tensor([0.0, 2.0, 20.0]), start=start)[:, 0]
    tensor([0.0100, 0.3555, 1.0000], dtype=torch.float64)
    """
    checks.finite("inputs", inputs)
    checks.finite("targets", targets)
    checks.finite("start", start)
    checks.finite("time", time)
    checks.positive("tolerance", tolerance)
    moments = arguments.times(time)
    if bool((moments.diff() <= 0).any()):
        raise ValueError("`time` does not rise. Pass each time once, in order.")
    if not bool(start.any()):
        raise ValueError("`start` is 0, where no layer has a gradient. Pass a small start instead.")
    x = inputs.double()
    gram, pull = (x.T @ x).numpy(), (x.T @ targets.double()).numpy()

    def velocity(_: float, w):  # type: ignore[no-untyped-def]
        length = (w @ w) ** 0.5
        g = pull - gram @ w
        return length * g + w * (w @ g) / length

    solved = solve_ivp(
        velocity,
        (0.0, float(moments[-1])),
        start.double().numpy(),
        method="DOP853",
        t_eval=moments.numpy(),
        rtol=tolerance,
        atol=tolerance * float(start.double().norm()) / len(start) ** 0.5,
    )
    if not solved.success:
        raise RuntimeError(f"The integrator stopped early: {solved.message} Pass shorter times.")
    return torch.from_numpy(solved.y.T.copy())
