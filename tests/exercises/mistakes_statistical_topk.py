"""The likely mistakes of exercises/source/statistical_topk, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
"""

import textwrap

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

CORNER = """
n, z = x.shape[1], NormalDist().inv_cdf(1 - k / x.shape[1])
mean, s = x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True)
flat = (x == x[:, :1]).all(dim=1, keepdim=True)
s = torch.where(flat, 1.0, s)
u, eta = x - mean - z * s, width * s
"""
PIECES = "y = torch.where(u > eta, u - eta / 2, u.clamp(min=0) ** 2 / (2 * eta))\n"
SLOPES = """
c = (u / eta).clamp(0, 1)
by_theta, by_eta = (pull * c).sum(dim=1, keepdim=True), (pull * c**2).sum(dim=1, keepdim=True) / 2
ds = (x - mean) / ((n - 1) * s)
"""
GRADIENT = "slope = pull * c - by_theta * (1 / n + z * ds) - by_eta * width * ds\n"
BOTH = "return torch.where(flat, 0.0, y), torch.where(flat, 0.0, slope)"
ROUNDED = CORNER + PIECES + SLOPES + GRADIENT + BOTH

MEAN = """
start = tl.program_id(0) * columns
total = tl.zeros([BLOCK], tl.float32)
for block in range(BLOCKS):
    place = block * BLOCK + tl.arange(0, BLOCK)
    total += tl.load(x + start + place, place < columns, other=0.0)
mean = tl.sum(total) / columns
"""
SQUARES = """
squares = tl.zeros([BLOCK], tl.float32)
for block in range(BLOCKS):
    place = block * BLOCK + tl.arange(0, BLOCK)
    gap = tl.load(x + start + place, place < columns, other=0.0) - mean
    squares += tl.where(place < columns, gap * gap, 0.0)
theta = mean + quantile * tl.sqrt(tl.sum(squares) / (columns - 1))
"""
WRITE = """
for block in range(BLOCKS):
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < columns
    number = tl.load(x + start + place, inside, other=0.0)
    is_kept = inside & (number > theta)
    second = tl.load(u + start + place, is_kept, other=0.0)
    tl.store(out + start + place, tl.where(is_kept, (number - theta) * second, 0.0), inside)
"""
KERNEL = MEAN + SQUARES + WRITE
ONE_BLOCK = """
start, place = tl.program_id(0) * columns, tl.arange(0, BLOCK)
first = tl.load(x + start + place, place < columns, other=0.0)
seen = tl.minimum(columns, BLOCK)
mean = tl.sum(first) / seen
gap = tl.where(place < columns, first - mean, 0.0)
theta = mean + quantile * tl.sqrt(tl.sum(gap * gap) / (seen - 1))
"""


def changed(body: str, old: str, new: str) -> str:
    """Return a body with one part exchanged, which must be there."""
    assert old in body, old
    return body.replace(old, new)


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
    "answer-3": {
        "a sharp corner": (
            f"{CORNER}y = u.clamp(min=0)\n{SLOPES}{GRADIENT}{BOTH}",
            "the corner is still sharp",
        ),
        "an absolute width": (
            changed(ROUNDED, "width * s\n", "width\n"),
            "measured in deviations of the row",
        ),
        "divisor n": (
            changed(ROUNDED, "x.std(dim=1, keepdim=True)", "x.std(1, keepdim=True, correction=0)"),
            "has the divisor n - 1",
        ),
        "no half below": (
            changed(ROUNDED, "(2 * eta)", "eta"),
            "a factor of one half",
        ),
        "nothing taken off above": (
            changed(ROUNDED, "u - eta / 2", "u"),
            "half of the width is missing",
        ),
        "all of the width taken off": (
            changed(ROUNDED, "u - eta / 2", "u - eta"),
            "*half* of the width",
        ),
        "a threshold that stands still": (
            changed(ROUNDED, GRADIENT, "slope = pull * c\n"),
            "the threshold stands still",
        ),
        "the mean alone": (
            changed(ROUNDED, GRADIENT, "slope = pull * c - by_theta / n\n"),
            "The deviation moves the threshold, too",
        ),
        "a width that stands still": (
            changed(ROUNDED, " - by_eta * width * ds", ""),
            "it moves with x, too",
        ),
        "no mean": (
            changed(ROUNDED, "(1 / n + z * ds)", "(z * ds)"),
            "The mean moves the threshold, too",
        ),
        "no deviation in the threshold": (
            changed(ROUNDED, "(1 / n + z * ds)", "(1 / n)"),
            "it moves the threshold, too",
        ),
        "a width with the wrong sign": (
            changed(ROUNDED, "- by_eta", "+ by_eta"),
            "makes y smaller",
        ),
        "divisor n in the derivative": (
            changed(ROUNDED, "((n - 1) * s)", "(n * s)"),
            "The derivative of the deviation",
        ),
        "no pull": (
            changed(ROUNDED, "pull * c - by", "c - by"),
            "Where is the pull",
        ),
        "no pull in any part": (
            changed(ROUNDED, "pull * c - by", "c - by")
            .replace("(pull * c).sum", "c.sum")
            .replace("(pull * c**2).sum", "(c**2).sum"),
            "Where is the pull",
        ),
        "no pull in both sums": (
            changed(ROUNDED, "(pull * c).sum", "c.sum").replace("(pull * c**2)", "(c**2)"),
            "Where is the pull",
        ),
        "no pull in what moves the threshold": (
            changed(ROUNDED, "(pull * c).sum", "c.sum"),
            "Where is the pull",
        ),
        "no pull in what moves the width": (
            changed(ROUNDED, "(pull * c**2)", "(c**2)"),
            "Where is the pull",
        ),
        "a threshold with the wrong sign": (
            changed(ROUNDED, "- by_theta", "+ by_theta"),
            "sign of what comes through theta",
        ),
        "a width that counts twice": (
            changed(ROUNDED, "keepdim=True) / 2\n", "keepdim=True)\n"),
            "a factor of one half is missing",
        ),
        "no omega": (
            changed(ROUNDED, "by_eta * width", "by_eta"),
            "where is omega",
        ),
        "the quantile of p": (
            changed(ROUNDED, "1 - k", "k"),
            "belongs to 1 - p",
        ),
        "a parabola on both sides": (
            changed(ROUNDED, "u.clamp(min=0) ** 2", "u**2"),
            "Below the threshold y is 0",
        ),
        "the gradient first": (
            changed(
                ROUNDED, BOTH, "return torch.where(flat, 0.0, slope), torch.where(flat, 0.0, y)"
            ),
            "got the gradient first",
        ),
        "y alone": (
            changed(ROUNDED, BOTH, "return torch.where(flat, 0.0, y)"),
            "Return y and the gradient",
        ),
        "the pull changed in place": (
            changed(ROUNDED, BOTH, f"pull *= c\n{BOTH}"),
            "changes its argument",
        ),
        "torch.func": (
            f"""
def corner(x):
{textwrap.indent(CORNER + PIECES, "    ")}
    return y

y, back = torch.func.vjp(corner, x)
return y, back(pull)[0]
            """,
            "torch was asked for one",
        ),
        "an absolute guard": (
            changed(ROUNDED, "(x == x[:, :1]).all(dim=1, keepdim=True)", "s < 1e-9"),
            "An absolute guard",
        ),
        "a guard that is added": (
            changed(ROUNDED, "torch.where(flat, 1.0, s)", "s + 1e-12"),
            "An absolute guard",
        ),
        "a deviation of exactly 0": (
            changed(ROUNDED, "(x == x[:, :1]).all(dim=1, keepdim=True)", "s == 0"),
            "rounding can leave a deviation of 1e-17",
        ),
        "autograd": (
            f"x = x.clone().requires_grad_()\n{CORNER}{PIECES}"
            "(slope,) = torch.autograd.grad((y * pull).sum(), x)\nreturn y, slope",
            "autograd is switched off",
        ),
        "equal numbers divided by 0": (
            changed(ROUNDED, "s = torch.where(flat, 1.0, s)\n", "").replace(
                BOTH, "return y, slope"
            ),
            "do not divide by it",
        ),
    },
    "answer-4": {
        "nothing written": ("tl.program_id(0)", "Nothing is written"),
        "below the mean": (
            changed(KERNEL, "mean + quantile", "mean - quantile"),
            "deviations *above* the mean",
        ),
        "an address in bytes": (
            changed(KERNEL, "tl.program_id(0) * columns", "tl.program_id(0) * columns * 4"),
            "begins at a wrong place",
        ),
        "all programs on row 0": (
            changed(KERNEL, "x + start", "x").replace("u + start", "u"),
            "where does the row of a program begin",
        ),
        "no program knows its row": (
            changed(KERNEL, "tl.program_id(0) * columns", "0"),
            "Only row 0 is written",
        ),
        "all programs write to row 0": (
            changed(KERNEL, "out + start", "out"),
            "Only row 0 is written",
        ),
        "one block written": (
            MEAN + SQUARES + changed(WRITE, "range(BLOCKS)", "range(1)"),
            "loop over range(BLOCKS)",
        ),
        "one block seen and written": (
            KERNEL.replace("range(BLOCKS)", "range(1)"),
            "loop over range(BLOCKS)",
        ),
        "one block, with a mean of its own": (
            ONE_BLOCK + changed(WRITE, "range(BLOCKS)", "range(1)"),
            "loop over range(BLOCKS)",
        ),
        "sums of one block": (
            (MEAN + SQUARES).replace("range(BLOCKS)", "range(1)") + WRITE,
            "the first block only",
        ),
        "written only where x passes": (
            changed(KERNEL, "0.0), inside)", "0.0), is_kept)"),
            "0 must be written where nothing passes",
        ),
        "u read in the whole row, then masked": (
            changed(
                KERNEL,
                "tl.load(u + start + place, is_kept, other=0.0)",
                "tl.where(is_kept, tl.load(u + start + place, inside, other=0.0), 0.0)",
            ),
            "tl.where after a load is too late",
        ),
        "x read without a mask": (
            changed(
                KERNEL,
                "number = tl.load(x + start + place, inside, other=0.0)",
                "number = tl.load(x + start + place)",
            ),
            "A load without a mask",
        ),
        "u read without a mask": (
            changed(
                KERNEL,
                "tl.load(u + start + place, is_kept, other=0.0)",
                "tl.load(u + start + place)",
            ),
            "A load without a mask",
        ),
        "written to x": (
            changed(KERNEL, "tl.store(out", "tl.store(x"),
            "Write to out only",
        ),
        "u of row 0": (
            changed(KERNEL, "u + start", "u"),
            "u has rows, too",
        ),
        "zeros in the squares": (
            changed(KERNEL, "tl.where(place < columns, gap * gap, 0.0)", "gap * gap"),
            "0 - mean is not 0",
        ),
        "divisor n": (
            changed(KERNEL, "(columns - 1)", "columns"),
            "has the divisor n - 1",
        ),
        "a mean of the lanes": (
            changed(KERNEL, "tl.sum(total) / columns", "tl.sum(total) / (BLOCK * BLOCKS)"),
            "not by the number of lanes",
        ),
        "moments of one block": (
            ONE_BLOCK + WRITE,
            "the first block only",
        ),
        "a hard threshold": (
            changed(KERNEL, "(number - theta) * second", "number * second"),
            "*beyond* the threshold",
        ),
        "no factor": (
            changed(KERNEL, "(number - theta) * second", "number - theta"),
            "Where is the factor u",
        ),
        "a mask times u": (
            changed(KERNEL, "(number - theta) * second", "second"),
            "Where is x",
        ),
        "a store without a mask": (
            changed(KERNEL, "0.0), inside)", "0.0))"),
            "A store without a mask",
        ),
        "u read everywhere": (
            changed(KERNEL, "u + start + place, is_kept", "u + start + place, inside").replace(
                "tl.where(is_kept, (number - theta) * second, 0.0)",
                "tl.maximum(number - theta, 0.0) * second",
            ),
            "it also asks that x passes",
        ),
        "the mean of the squares": (
            changed(
                MEAN,
                "mean =",
                """squares = tl.zeros([BLOCK], tl.float32)
for block in range(BLOCKS):
    place = block * BLOCK + tl.arange(0, BLOCK)
    one = tl.load(x + start + place, place < columns, other=0.0)
    squares += one * one
mean =""",
            )
            + """
rest = tl.maximum(tl.sum(squares) / columns - mean * mean, 0.0)
theta = mean + quantile * tl.sqrt(rest * columns / (columns - 1))
"""
            + WRITE,
            "loses all digits",
        ),
    },
}

ALTERNATIVES = {
    "answer-1": {"by moments": MOMENTS + PASSING},
    "answer-2": {"with a scale where all are equal": POWERS + BENT + EQUAL},
    "answer-3": {
        "in pieces": ROUNDED,
        "by the matrix of all derivatives": f"""
{CORNER}{PIECES}
c = torch.where(u > eta, 1.0, (u / eta).clamp(min=0))
ds = (x - mean) / ((n - 1) * s)
one = torch.eye(n, dtype=x.dtype)
moved = one - 1 / n - z * ds[:, None, :]
table = c[:, :, None] * moved - width / 2 * c[:, :, None] ** 2 * ds[:, None, :]
slope = torch.einsum("ri,rij->rj", pull, table)
{BOTH}
        """,
    },
    "answer-4": {
        "in three loops": KERNEL,
        "distances from the first number, joined block by block": f"""
start = tl.program_id(0) * columns
first = tl.load(x + start)
seen, mean, squares = 0.0, 0.0, 0.0
for block in range(BLOCKS):
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < columns
    number = tl.where(inside, tl.load(x + start + place, inside, other=0.0) - first, 0.0)
    new = tl.sum(inside.to(tl.float32))
    own = tl.sum(number) / new
    gap = tl.where(inside, number - own, 0.0)
    squares += tl.sum(gap * gap) + (own - mean) * (own - mean) * seen * new / (seen + new)
    mean += (own - mean) * new / (seen + new)
    seen += new
theta = first + mean + quantile * tl.sqrt(squares / (columns - 1))
{WRITE}
        """,
    },
}
