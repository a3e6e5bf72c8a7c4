"""The likely mistakes of exercises/source/statistical_topk, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution. Exercise 3
stands in ``mistakes_statistical_gradient``, exercise 4 in ``mistakes_statistical_kernel``.
"""

from tests.exercises import mistakes_statistical_gradient as gradient
from tests.exercises import mistakes_statistical_kernel as kernel
from tests.exercises.bodies import changed

MOMENTS = """
first = alive * mean
second = alive * (deviation**2 + mean**2)
theta = first + NormalDist().inv_cdf(1 - share) * math.sqrt(second - first**2)
"""
PASSING = "return alive * (1 - NormalDist(mean, deviation).cdf(theta)) + (1 - alive) * (theta < 0)"

POWERS = """
n, z = x.shape[1], NormalDist().inv_cdf(1 - k / x.shape[1])
mean, s = x.mean(dim=1, keepdim=True), x.std(dim=1)
t = (x - mean) / (x - mean).square().mean(dim=1, keepdim=True).sqrt()
g1, g2 = t.pow(3).mean(dim=1), t.pow(4).mean(dim=1) - 3
"""
BENT = """
bent = z + (z**2 - 1) / 6 * g1 + (z**3 - 3 * z) / 24 * g2 - (2 * z**3 - 5 * z) / 36 * g1**2
"""
EQUAL = """
theta = mean[:, 0] + bent * s
return torch.where((x == x[:, :1]).all(dim=1), x[:, 0], theta)
"""


def varied_1(variance: str) -> str:
    """Return the answer to exercise 1 with another variance."""
    return changed(MOMENTS, "second - first**2", variance) + PASSING


def bent_2(old: str, new: str) -> str:
    """Return the answer to exercise 2 with one part of the series exchanged."""
    return POWERS + changed(BENT, old, new) + EQUAL


HINTS = {
    "answer-1": {
        "moments of the living": (
            f"theta = mean + NormalDist().inv_cdf(1 - share) * deviation\n{PASSING}",
            "the dead included",
        ),
        "the deviation of the living": (
            changed(MOMENTS, "math.sqrt(second - first**2)", "deviation") + PASSING,
            "is that of the whole row",
        ),
        "no distance between the heaps": (
            changed(MOMENTS, "second - first**2", "alive * deviation**2") + PASSING,
            "the living and the dead lie apart",
        ),
        "the second moment": (
            changed(MOMENTS, "second - first**2", "second") + PASSING,
            "*less* the square of the mean",
        ),
        "no root": (
            changed(MOMENTS, "math.sqrt", "") + PASSING,
            "where is the root",
        ),
        "the lower tail": (
            changed(MOMENTS, "1 - share", "share") + PASSING,
            "the upper tail is kept",
        ),
        "a share of the living": (
            f"{MOMENTS}\nreturn 1 - NormalDist(mean, deviation).cdf(theta)",
            "a share of the living",
        ),
        "the share that does not pass": (
            f"{MOMENTS}\nreturn 1 - alive * (1 - NormalDist(mean, deviation).cdf(theta))",
            "does *not* pass",
        ),
        "count over k": (
            f"{MOMENTS}\nreturn alive * (1 - NormalDist(mean, deviation).cdf(theta)) / share",
            "Return the share itself",
        ),
        "the dead never pass": (
            f"{MOMENTS}\nreturn alive * (1 - NormalDist(mean, deviation).cdf(theta))",
            "the dead pass, too",
        ),
        "the dead pass at 0": (
            MOMENTS + changed(PASSING, "theta < 0", "theta <= 0"),
            "not *larger* than",
        ),
        "no bias": ("return share", "what a normal row gives"),
        "the dead always pass": (
            MOMENTS + changed(PASSING, " * (theta < 0)", ""),
            "The dead pass only if",
        ),
        "the living and the dead exchanged": (
            MOMENTS
            + changed(PASSING, "alive * (1", "(1 - alive) * (1").replace(
                "+ (1 - alive)", "+ alive"
            ),
            "The weights are swapped",
        ),
        "as many dead as alive": (
            MOMENTS + changed(PASSING, "+ (1 - alive)", "+ alive"),
            "The dead are a share of 1 - w",
        ),
        "the weights exchanged in the variance": (
            varied_1("(1 - alive) * deviation**2 + alive * (1 - alive) * mean**2"),
            "The weights are swapped",
        ),
        "the square of the share in the variance": (
            varied_1("alive**2 * deviation**2 + alive * (1 - alive) * mean**2"),
            "not with its square",
        ),
        "a deviation of all": (
            varied_1("deviation**2 + alive * (1 - alive) * mean**2"),
            "Only the living have a deviation",
        ),
        "a distance where all are dead": (
            varied_1("alive * deviation**2 + (1 - alive) * mean**2"),
            "nor where all are dead",
        ),
        "the mean of the living in the variance": (
            varied_1("second - mean**2"),
            "is that of the whole row",
        ),
        "a complex deviation": (
            changed(MOMENTS, "math.sqrt(second - first**2)", "(second - mean**2) ** 0.5") + PASSING,
            "is that of the whole row",
        ),
        "the mean of the living in both": (
            changed(MOMENTS, "first = alive * mean", "first = mean") + PASSING,
            "is that of the whole row",
        ),
    },
    "answer-2": {
        "the plain threshold": (
            f"{POWERS}bent = z\n{EQUAL}",
            "where are the moments",
        ),
        "no excess": (
            changed(POWERS, " - 3\n", "\n") + BENT + EQUAL,
            "is the excess left",
        ),
        "skewness only": (
            f"{POWERS}bent = z + (z**2 - 1) / 6 * g1\n{EQUAL}",
            "the kurtosis is missing",
        ),
        "no last term": (
            POWERS + changed(BENT, " - (2 * z**3 - 5 * z) / 36 * g1**2", "") + EQUAL,
            "The last term is missing",
        ),
        "the last term added": (
            POWERS + changed(BENT, " - (2 *", " + (2 *") + EQUAL,
            "sign of the last term",
        ),
        "skewness turned around": (
            POWERS + changed(BENT, "z + (z**2", "z - (z**2") + EQUAL,
            "sign of the skewness",
        ),
        "one skewness for all": (
            changed(
                POWERS,
                "g1, g2 = t.pow(3).mean(dim=1)",
                "w = x - x.mean()\ng1, g2 = w.pow(3).mean() / w.square().mean() ** 1.5",
            )
            + BENT
            + EQUAL,
            "along which dimension",
        ),
        "kurtosis turned around": (
            bent_2("+ (z**3", "- (z**3"),
            "sign of the kurtosis",
        ),
        "another factor of the kurtosis": (
            bent_2("z**3 - 3 * z", "z**3 + 3 * z"),
            "The factor of g2 is",
        ),
        "another factor of the last term": (
            bent_2("2 * z**3 - 5 * z", "2 * z**3 + 5 * z"),
            "The factor of g2 is",
        ),
        "factors exchanged": (
            bent_2("z**3 - 3 * z", "z**3 - 5 * z").replace("2 * z**3 - 5 * z", "2 * z**3 - 3 * z"),
            "The factor of g2 is",
        ),
        "a skewness that is not squared": (
            bent_2("g1**2", "g1"),
            "the *square* of the skewness",
        ),
        "no deviation": (
            POWERS + BENT + changed(EQUAL, "bent * s", "bent"),
            "where is s",
        ),
        "sums over n - 1": (
            changed(
                POWERS,
                "t.pow(3).mean(dim=1), t.pow(4).mean(dim=1) - 3",
                "t.pow(3).sum(dim=1) / (n - 1), t.pow(4).sum(dim=1) / (n - 1) - 3",
            )
            + BENT
            + EQUAL,
            "each is a mean over the row",
        ),
        "the mean of all moments": (
            changed(POWERS, "g1, g2 = t.pow(3).mean(dim=1)", "g1, g2 = t.pow(3).mean()")
            + BENT
            + EQUAL,
            "along which dimension",
        ),
        "both moments of all": (
            changed(
                POWERS,
                "t.pow(3).mean(dim=1), t.pow(4).mean(dim=1) - 3",
                "t.pow(3).mean(), t.pow(4).mean() - 3",
            )
            + BENT
            + EQUAL,
            "along which dimension",
        ),
        "divisor n in the threshold": (
            changed(POWERS, "x.std(dim=1)", "x.std(dim=1, correction=0)") + BENT + EQUAL,
            "has the divisor n - 1",
        ),
        "divisor n - 1 in the moments": (
            changed(
                POWERS,
                "(x - mean).square().mean(dim=1, keepdim=True).sqrt()",
                "s[:, None]",
            )
            + BENT
            + EQUAL,
            "The moments have the divisor n",
        ),
        "the quantile of p": (
            changed(POWERS, "1 - k /", "k /") + BENT + EQUAL,
            "belongs to 1 - p",
        ),
        "no mean": (
            POWERS + BENT + changed(EQUAL, "mean[:, 0] + ", ""),
            "The mean of the row is missing",
        ),
        "raw moments": (
            """
            z = NormalDist().inv_cdf(1 - k / x.shape[1])
            n, m = x.shape[1], [x.pow(power).mean(dim=1) for power in range(5)]
            v = m[2] - m[1] ** 2
            g1 = (m[3] - 3 * m[1] * m[2] + 2 * m[1] ** 3) / v**1.5
            g2 = (m[4] - 4 * m[1] * m[3] + 6 * m[1] ** 2 * m[2] - 3 * m[1] ** 4) / v**2 - 3
            bent = z + (z**2 - 1) / 6 * g1 + (z**3 - 3 * z) / 24 * g2
            bent = bent - (2 * z**3 - 5 * z) / 36 * g1**2
            return m[1] + bent * (v * n / (n - 1)).sqrt()
            """,
            "Subtract the mean before you square",
        ),
        "powers before the division": (
            changed(
                POWERS,
                "g1, g2 = t.pow(3).mean(dim=1), t.pow(4).mean(dim=1) - 3",
                "c, v = x - mean, (x - mean).square().mean(dim=1)\n"
                "g1, g2 = c.pow(3).mean(dim=1) / v**1.5, c.pow(4).mean(dim=1) / v**2 - 3",
            )
            + BENT
            + EQUAL,
            "divide by the deviation before you take powers",
        ),
        "equal numbers divided by 0": (
            f"{POWERS}{BENT}return mean[:, 0] + bent * s",
            "do not divide by it",
        ),
        "changed in place": (
            f"""
            {POWERS}{BENT}{EQUAL}
            """.replace("return torch", "x -= mean\nreturn torch").replace("x[:, 0]", "mean[:, 0]"),
            "works in place",
        ),
    },
    **gradient.HINTS,
    **kernel.HINTS,
}
ALTERNATIVES = {
    "answer-1": {"by moments": MOMENTS + PASSING},
    "answer-2": {"with a scale where all are equal": POWERS + BENT + EQUAL},
    **gradient.ALTERNATIVES,
    **kernel.ALTERNATIVES,
}
