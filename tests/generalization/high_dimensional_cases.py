"""What the tests share: averages to thirty digits, drawn problems, and descent step by step."""

import math

import mpmath as mp
import torch

RATIOS = (0.1, 0.5, 0.95, 0.999, 1.0, 1 + 1e-9, 1.05, 2.0, 10.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def average(function, ratio):
    """Integrate over the positive eigenvalues with the textbook density, to thirty digits."""
    with mp.workdps(30):
        low, high = (mp.sqrt(ratio) - 1) ** 2, (mp.sqrt(ratio) + 1) ** 2
        if low == 0:
            low = mp.mpf(10) ** -40

        def integrand(log_value):  # in log λ, so that small eigenvalues are seen
            value = mp.exp(log_value)
            root = mp.sqrt(abs((high - value) * (value - low)))
            return function(value) * root / (2 * mp.pi)

        ends = mp.linspace(mp.log(low), mp.log(high), 12)
        return float(mp.quad(integrand, ends))


def error_by_definition(time, ratio, signal, noise, init):
    """The formula of the generalization error, term by term, with the atom added by hand."""

    def of_mode(value):
        left = mp.exp(-value * time)
        return (signal + init) * left**2 + noise * (1 - left) ** 2 / value

    atom = max(0.0, 1 - ratio) * (signal + init)
    return noise + atom + average(of_mode, ratio)


def problem(samples, parameters, *, seed=0, noise=0.2, init=0.0):
    """Inputs, targets, teacher and start in the theory's scale, float64."""
    generator = seeded(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = normal(samples, parameters) / math.sqrt(parameters)
    teacher, start = normal(parameters), math.sqrt(init) * normal(parameters)
    return inputs, inputs @ teacher + math.sqrt(noise) * normal(samples), teacher, start


def descend(inputs, targets, start, step_size, steps):
    """Plain gradient descent on half the sum of squared errors."""
    weights = start.clone()
    for _ in range(steps):
        weights = weights + step_size * inputs.T @ (targets - inputs @ weights)
    return weights


def excess(weights, teacher):
    """Error on a fresh sample, without the noise."""
    return (weights - teacher).square().sum(-1) / len(teacher)
