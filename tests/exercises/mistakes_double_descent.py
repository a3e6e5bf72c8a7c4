"""The likely mistakes of exercises/source/double_descent, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
"""

ROOT = (
    "root = math.sqrt(snr)\nlow = max(0.0, 1 - 1 / root)\nbest = 2 * root - 1 if snr > 1 else snr\n"
)
LIMIT = "limit = (2 + 2 * momentum) / (1 + 2 * momentum) / eigenvalues.max()\n"
LOOK = """
x = step_size * eigenvalues
q = 1 - x
now = last = torch.ones_like(q)
"""
POWER = """
q = 1 - step_size * eigenvalues
rows = [q * (1 + momentum), -q * momentum], [torch.ones_like(q), torch.zeros_like(q)]
square = torch.stack([torch.stack(row, 1) for row in rows], 1)
"""
HAT = """
n, p = features.shape
if penalty == 0:
    hat = features @ torch.linalg.pinv(features)
else:
    one = torch.eye(p, dtype=torch.float64)
    hat = features @ torch.linalg.solve(features.T @ features + penalty * one, features.T)
residual = targets - hat @ targets
free = (1 - hat.diag())[:, None]
"""
SUMS = """
n = len(targets)
inner, across = torch.zeros(n, n).double(), torch.zeros(len(test_targets), n).double()
for start in range(0, width, block):
    z, test_z = draw(start, min(width, start + block))
    inner, across = inner + z @ z.T, across + test_z @ z.T
one = torch.eye(n, dtype=torch.float64)
"""
SOLVED = """
predicted = across @ torch.linalg.solve(inner + n * log_penalty.exp() * one, targets)
"""
ERROR = "return (predicted - test_targets).square().sum(1).mean()"

HINTS = {
    "answer-1": {
        "one number": ("return 1 - 1 / math.sqrt(snr)", "how many numbers come"),
        "the upper one first": (
            ROOT + "return 1 + 1 / best, low",
            "The lower number comes first",
        ),
        "no root": (
            ROOT + "return max(0.0, 1 - 1 / snr), 1 + 1 / best",
            "the noise over the *square*",
        ),
        "features a sample": (
            "root = math.sqrt(snr)\nreturn root / (root - 1), 2 - 1 / root",
            "That is features a sample",
        ),
        "the other root": (
            "root = math.sqrt(snr)\nreturn 1 + 1 / root, 1 + 1 / (2 * root - 1)",
            "but beyond the threshold",
        ),
        "as good as nothing": (
            ROOT + "return low, 1 + 1 / snr",
            "Some below the threshold are better than none",
        ),
        "as wide above as below": (ROOT + "return low, 2 - low", "not as wide above 1"),
        "upper one upside down": (
            ROOT + "return low, 1 / (1 + 1 / best)",
            "That is features a sample",
        ),
        "fewer than no samples": (
            "root = math.sqrt(snr)\nreturn 1 - 1 / root, 1 + 1 / (2 * root - 1)",
            "even the first sample hurts",
        ),
        "the best of no samples": (
            ROOT + "return low, 1 + 1 / (2 * root - 1)",
            "what does that choice cost?",
        ),
    },
    "answer-2": {
        "the residual alone": (
            f"{POWER}return torch.linalg.matrix_power(square, steps)[:, 0].sum(1)",
            "how many results come",
        ),
        "heavy ball": (
            f"""{LOOK}
for _ in range(steps):
    now, last = now + momentum * (now - last) - x * now, now
return now, {LIMIT.removeprefix("limit = ")}
            """,
            "That is heavy ball: its gradient",
        ),
        "the library's filter": (
            """
            from l2s.generalization.double_descent import descent_filter, largest_stable_step
            left = descent_filter(eigenvalues, steps, step_size=step_size, momentum=momentum)
            return left, largest_stable_step(eigenvalues, momentum=momentum)
            """,
            "That is heavy ball: its gradient",
        ),
        "no momentum": (
            f"{LIMIT}return (1 - step_size * eigenvalues) ** steps, limit",
            "without momentum",
        ),
        "one step too many": (
            f"{POWER}{LIMIT}"
            "return torch.linalg.matrix_power(square, steps + 1)[:, 0].sum(1), limit",
            "one step too many",
        ),
        "one step too few": (
            f"{POWER}{LIMIT}"
            "return torch.linalg.matrix_power(square, max(steps - 1, 0))[:, 0].sum(1), limit",
            "one step too few",
        ),
        "what is learned": (
            f"{POWER}{LIMIT}"
            "return 1 - torch.linalg.matrix_power(square, steps)[:, 0].sum(1), limit",
            "return what is left",
        ),
        "momentum in the first step": (
            f"{POWER}{LIMIT}return torch.linalg.matrix_power(square, steps)[:, 0, 0], limit",
            "Your first step has momentum",
        ),
        "limit of heavy ball": (
            f"{POWER}limit = 2 * (1 + momentum) / eigenvalues.max()\n"
            "return torch.linalg.matrix_power(square, steps)[:, 0].sum(1), limit",
            "the limit of heavy ball",
        ),
        "limit of descent": (
            f"{POWER}limit = 2 / eigenvalues.max()\n"
            "return torch.linalg.matrix_power(square, steps)[:, 0].sum(1), limit",
            "the limit without momentum",
        ),
        "the slowest mode": (
            f"{POWER}limit = (2 + 2 * momentum) / (1 + 2 * momentum) / eigenvalues.min()\n"
            "return torch.linalg.matrix_power(square, steps)[:, 0].sum(1), limit",
            "first to diverge",
        ),
        "one over the curvature": (
            f"{POWER}limit = 1 / eigenvalues.max()\n"
            "return torch.linalg.matrix_power(square, steps)[:, 0].sum(1), limit",
            "larger steps are stable",
        ),
        "step by step": (
            f"""{LOOK}{LIMIT}
for _ in range(steps):
    now, last = q * (now + momentum * (now - last)), now
return now, limit
            """,
            "You go step by step",
        ),
    },
    "answer-3": {
        "the training error": (
            HAT + "return residual.square().sum(1).mean()",
            "That is the training error",
        ),
        "squares are divided": (
            HAT + "return (residual.square() / free).sum(1).mean()",
            "You divide the squares",
        ),
        "all rows by the same": (
            HAT + "return (residual / free.mean()).square().sum(1).mean()",
            "You divide all rows by the same",
        ),
        "times instead of over": (
            HAT + "return (residual * free).square().sum(1).mean()",
            "its residual must grow",
        ),
        "over its own share": (
            HAT + "return (residual / hat.diag()[:, None]).square().sum(1).mean()",
            "What is left?",
        ),
        "a sum over rows": (
            HAT + "return (residual / free).square().sum()",
            "Return the mean over the rows",
        ),
        "a mean over outputs": (
            HAT + "return (residual / free).square().mean()",
            "Sum over the outputs",
        ),
        "the penalty of a mean": (
            HAT.replace("penalty * one", "n * penalty * one")
            + "return (residual / free).square().sum(1).mean()",
            "without a factor P",
        ),
        "0/0 beyond the threshold": (
            HAT + "return (residual / free).square().sum(1).mean()",
            "Is it the limit for a vanishing penalty",
        ),
        "one fit a row": (
            """
            total = 0.0
            for i in range(len(targets)):
                rest = torch.arange(len(targets)) != i
                z, y = features[rest], targets[rest]
                if penalty == 0:
                    weights = torch.linalg.pinv(z) @ y
                else:
                    one = torch.eye(z.shape[1], dtype=z.dtype)
                    weights = torch.linalg.solve(z.T @ z + penalty * one, z.T @ y)
                total = total + (targets[i] - features[i] @ weights).square().sum()
            return total / len(targets)
            """,
            "You fit once for each row",
        ),
    },
    "answer-4": {
        "the penalty of a sum": (
            f"{SUMS}{SOLVED.replace('n * log', 'log')}{ERROR}",
            "which factor has it beside the sum?",
        ),
        "a factor too many": (
            f"{SUMS}{SOLVED.replace('n * log', 'n**2 * log')}{ERROR}",
            "a factor P too many",
        ),
        "a squared penalty": (
            f"{SUMS}{SOLVED.replace('.exp()', '.exp() ** 2')}{ERROR}",
            "The penalty is squared",
        ),
        "the last block is lost": (
            f"{SUMS.replace('(0, width, block)', '(0, width - block + 1, block)')}{SOLVED}{ERROR}",
            "The last block is smaller",
        ),
        "columns that are not there": (
            f"{SUMS.replace('min(width, start + block)', 'start + block')}{SOLVED}{ERROR}",
            "the last block may be smaller",
        ),
        "a mean over blocks": (
            f"{SUMS}count = math.ceil(width / block)\ninner, across = inner / count, across / count"
            f"{SOLVED}{ERROR}",
            "not means",
        ),
        "a mean over outputs": (
            f"{SUMS}{SOLVED}return (predicted - test_targets).square().mean()",
            "Sum over the outputs",
        ),
        "a sum over rows": (
            f"{SUMS}{SOLVED}return (predicted - test_targets).square().sum()",
            "Return the mean over the test rows",
        ),
        "a number instead of a tensor": (
            f"{SUMS}{SOLVED.replace('log_penalty.exp()', 'math.exp(log_penalty.item())')}{ERROR}",
            "no .item(), no float()",
        ),
        "all columns at once": (
            """
            z, test_z = draw(0, width)
            n = len(targets)
            one = torch.eye(n, dtype=z.dtype)
            inner = z @ z.T + n * log_penalty.exp() * one
            predicted = test_z @ z.T @ torch.linalg.solve(inner, targets)
            return (predicted - test_targets).square().sum(1).mean()
            """,
            "Ask for a block at a time",
        ),
        "twice through the columns": (
            f"""{SUMS}
a = torch.linalg.solve(inner + n * log_penalty.exp() * one, targets)
predicted = 0.0
for start in range(0, width, block):
    z, test_z = draw(start, min(width, start + block))
    predicted = predicted + test_z @ (z.T @ a)
{ERROR}
            """,
            "Go through them once",
        ),
        "blocks that are kept": (
            f"""
parts = [draw(at, min(width, at + block)) for at in range(0, width, block)]
z, test_z = (torch.cat(tables, 1) for tables in zip(*parts))
n, one = len(targets), torch.eye(len(targets), dtype=torch.float64)
inner, across = z @ z.T, test_z @ z.T
{SOLVED}{ERROR}
            """,
            "Something grows with the width",
        ),
    },
}

ALTERNATIVES = {
    "answer-1": {
        "from the errors": """
            low = max(0.0, 1 - snr**-0.5)
            error = snr * (1 - low) + low / (1 - low)
            return low, (1 + error) / error
            """,
    },
    "answer-2": {
        "squaring by hand": f"""{POWER}{LIMIT}
power = torch.eye(2, dtype=torch.float64).expand_as(square)
while steps:
    power = power @ square if steps % 2 else power
    square, steps = square @ square, steps // 2
return power @ torch.ones(2, dtype=torch.float64) @ torch.tensor([1.0, 0.0]).double(), limit
            """,
        "roots": """
            q = (1 - step_size * eigenvalues).to(torch.complex128)
            half = q * (1 + momentum) / 2
            root = (half**2 - momentum * q).sqrt()
            root = torch.where(root.abs() < 1e-7, 1e-7, root)
            plus, minus = half + root, half - root
            a = (q - minus) / (plus - minus)
            left = (a * plus**steps + (1 - a) * minus**steps).real
            return left, 2 * (1 + momentum) / ((1 + 2 * momentum) * eigenvalues.max())
            """,
    },
    "answer-3": {
        "an inverse of inner products": """
            n, p = features.shape
            one = torch.eye(n, dtype=torch.float64)
            if penalty == 0 and p < n:
                rest = one - features @ torch.linalg.solve(features.T @ features, features.T)
            else:
                rest = torch.linalg.inv(features @ features.T + penalty * one)
            return ((rest @ targets / rest.diag()[:, None]) ** 2).sum(1).mean()
            """,
    },
    "answer-4": {
        "modes of the inner products": f"""{SUMS}
curvature, modes = torch.linalg.eigh(inner)
fitted = (modes.T @ targets) / (curvature.clamp(min=0) + n * log_penalty.exp())[:, None]
predicted = across @ modes @ fitted
{ERROR}
            """,
    },
}
