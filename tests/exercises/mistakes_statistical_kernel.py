"""Likely mistakes in exercise 4 of exercises/source/statistical_topk, and their hints."""

from tests.exercises.bodies import changed

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

HINTS = {
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
