"""Likely mistakes in exercise 3 of exercises/source/statistical_topk, and their hints."""

import textwrap

from tests.exercises.bodies import changed

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

HINTS = {
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
}
ALTERNATIVES = {
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
}
