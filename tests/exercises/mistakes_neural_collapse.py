"""The likely mistakes of exercises/source/neural_collapse, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES`` are answers that are right in another way than the solution.
"""

STREAM = """
            rows, labels = (torch.cat(parts) for parts in zip(*batches))
            own = [rows[labels == k] for k in range(classes)]
            mean = torch.stack([one.mean(0) for one in own])
            spread = torch.stack([(one - m).square().sum(1).mean() for one, m in zip(own, mean)])
            apart = (mean[:, None] - mean).square().sum(2).fill_diagonal_(1)
"""

SUMS = """
            count, scatter, mean = torch.zeros(classes).double(), torch.zeros(classes).double(), 0
            for features, labels in batches:
                if isinstance(mean, int):
                    mean = torch.zeros(classes, features.shape[1]).double()
                for k in labels.unique().tolist():
                    own = features[labels == k]
                    m, both = own.mean(0), count[k] + len(own)
                    scatter[k] += (own - m).square().sum()
                    mean[k] = {mean}
                    count[k] = both
            spread, apart = scatter / count, (mean[:, None] - mean).square().sum(2)
            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)
"""

ROOTS = """
            m, peak = depth, ((depth - 1) / (depth + 1)) ** (1 / depth)
            slope = lambda u: math.log(m) + (m - 1) * u - 2 * math.log1p(math.exp(m * u))
            def hill(price):
                if depth == 1 or price >= metastable_price(depth):
                    return 0.0
                f = lambda u: slope(u) - math.log(price)
                return math.exp(brentq(f, -50, math.log(peak), xtol=1e-14))
            hills = torch.tensor([hill(p) for p in prices.tolist()]).double()
            living = class_output(prices, depth, branch="living")
"""

SOLVED = """
            k = len(targets)
            price = class_prices([samples] * k, depth, weight_decay, feature_decay)[0]
            left, size, right = torch.linalg.svd(targets, full_matrices=False)
            rho = class_output(price / size.detach().square().clamp(min=1e-99), depth)
            x = (rho / (1 - rho)) ** (1 / depth)
            loss = (size**2 * (1 - rho) + price * x).sum() / (2 * k)
"""


def _power(power: str) -> str:
    return f"""
            n = torch.tensor(sizes, dtype=torch.float64)
            weights = n ** ({power})
            return weights * n.sum() / (n @ weights)
            """


HINTS = {
    "answer-1": {
        "no weights": ("return torch.ones(len(sizes), dtype=torch.float64)", "weights are all 1"),
        "the usual weights": (_power("-1"), "The usual weights overshoot"),
        "always depth 1": (_power("-0.5"), "right for depth 1"),
        "the power upside down": (_power("-(depth + 1) / depth"), "the right way up"),
        "only inside x": (_power("-depth"), "in front of 1/(1 + x^M), not only"),
        "only one of two": (_power("-1 / (depth + 1)"), "Did you count both?"),
        "the factor in front stays": (_power("-1 / depth"), "out of *both* terms"),
        "the wrong sign": (_power("depth / (depth + 1)"), "favour large classes"),
        "weights that sum to one": (
            "n = torch.tensor(sizes).double()\nw = n ** (-depth / (depth + 1))\nreturn w / w.sum()",
            "Multiply all weights by one factor",
        ),
        "not scaled": (
            "return torch.tensor(sizes).double() ** (-depth / (depth + 1))",
            "Multiply all weights by one factor",
        ),
        "a list": (
            """
            w = [n ** (-depth / (depth + 1)) for n in sizes]
            return [one * sum(sizes) / sum(a * b for a, b in zip(w, sizes)) for one in w]
            """,
            "expected a number or a tensor, but got a list",
        ),
        "nothing returned": ("weights = 1 / torch.tensor(sizes)", "return its result"),
    },
    "answer-2": {
        "distance not squared": (
            STREAM + "            v = (spread[:, None] + spread) / (2 * apart.sqrt())\n"
            "            return v.fill_diagonal_(0)",
            "Square the distance",
        ),
        "no 2": (
            STREAM + "            return ((spread[:, None] + spread) / apart).fill_diagonal_(0)",
            "Where is the 2",
        ),
        "one less": (
            STREAM
            + "            n = labels.bincount()\n            spread = spread * n / (n - 1)\n"
            "            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)",
            "not by one less",
        ),
        "mean over features": (
            STREAM + "            spread = spread / rows.shape[1]\n"
            "            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)",
            "Sum the squares over the features",
        ),
        "standard deviations": (
            STREAM + "            spread = spread.sqrt()\n"
            "            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)",
            "These are standard deviations",
        ),
        "zero divided by zero": (
            STREAM + "            apart = (mean[:, None] - mean).square().sum(2)\n"
            "            return (spread[:, None] + spread) / (2 * apart)",
            "The diagonal is 0",
        ),
        "the stream read twice": (
            """
            count, total = torch.zeros(classes, 1).double(), 0
            for rows, labels in batches:
                one = torch.nn.functional.one_hot(labels, classes).double().T
                count, total = count + one.sum(1, keepdim=True), total + one @ rows
            mean, scatter = total / count, torch.zeros(classes).double()
            for rows, labels in batches:
                scatter.index_add_(0, labels, (rows - mean[labels]).square().sum(1))
            spread, apart = scatter / count[:, 0], (mean[:, None] - mean).square().sum(2)
            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)
            """,
            "read the stream twice",
        ),
        "nothing between batches": (
            SUMS.format(mean="mean[k] + (m - mean[k]) * len(own) / both"),
            "What do two groups add",
        ),
        "mean of means": (
            SUMS.format(mean="m if count[k] == 0 else (mean[k] + m) / 2"),
            "How are two means of unequal counts joined",
        ),
        "square of the sum": (
            """
            count, total, squares = torch.zeros(classes, 1).double(), 0, 0
            for rows, labels in batches:
                one = torch.nn.functional.one_hot(labels, classes).double().T
                count, total = count + one.sum(1, keepdim=True), total + one @ rows
                squares = squares + one @ rows.square()
            mean = total / count
            spread = (squares / count - mean.square()).sum(1)
            apart = (mean[:, None] - mean).square().sum(2)
            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)
            """,
            "Digits are lost",
        ),
        "all in memory": (
            STREAM
            + "            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)",
            "The stream stands in memory",
        ),
    },
    "answer-3": {
        "the global minimum": (
            ROOTS + "            return class_output(prices, depth), hills",
            "This is the global minimum",
        ),
        "alive wherever it can be": (
            ROOTS + "            return living, hills",
            "over the hill",
        ),
        "it never comes back": (
            ROOTS + "            return torch.zeros_like(living), hills",
            "never comes back",
        ),
        "compared with the peak": (
            ROOTS + "            return living * (kick > peak), hills",
            "never comes back",
        ),
        "without memory": (
            ROOTS + "            return living * (kick > hills), hills",
            "A class that lives starts from where it is",
        ),
        "alive at the start": (
            ROOTS
            + """
            alive = True
            for at, (top, output) in enumerate(zip(hills.tolist(), living.tolist())):
                alive = output > 0 and (alive or kick > top)
                living[at] = output if alive else 0.0
            return living, hills
            """,
            "Before the first price the class is at 0",
        ),
        "the kick moves the output": (
            ROOTS
            + """
            rho = 0.0
            for at, (top, output) in enumerate(zip(hills.tolist(), living.tolist())):
                rho = output if rho + kick > top**depth / (1 + top**depth) else 0.0
                living[at] = rho
            return living, hills
            """,
            "The kick moves x",
        ),
        "the larger root as the hill": (
            ROOTS
            + """
            alive, x = False, (living / (1 - living)) ** (1 / depth)
            for at, (top, output) in enumerate(zip(hills.tolist(), living.tolist())):
                alive = output > 0 and (alive or kick > top)
                living[at] = output if alive else 0.0
            return living, x if depth > 1 else 0 * x
            """,
            "take the smaller one",
        ),
        "the hill of depth 2": (
            ROOTS
            + """
            alive = False
            for at, (top, output) in enumerate(zip(hills.tolist(), living.tolist())):
                alive = output > 0 and (alive or kick > top)
                living[at] = output if alive else 0.0
            near = (prices / depth) ** (1 / max(depth - 1, 1))
            return living, near * (prices < metastable_price(depth)) * (depth > 1)
            """,
            "At the top g is flat",
        ),
        "a hill without a kick above": (
            ROOTS
            + """
            alive = False
            for at, (top, output) in enumerate(zip(hills.tolist(), living.tolist())):
                alive = output > 0 and (alive or kick > top)
                living[at] = output if alive else 0.0
            return living, hills + (hills == 0)
            """,
            "beyond the metastable bound, return 0",
        ),
        "one result": (ROOTS + "            return living", "expected two tensors"),
    },
    "answer-4": {
        "the targets": (SOLVED + "            return targets, loss", "These are the targets"),
        "the price of one-hot targets": (
            SOLVED.replace("price / size.detach().square().clamp(min=1e-99)", "price.expand(k)")
            + "            return (left * (rho * size)) @ right, loss",
            "has the price of a one-hot class",
        ),
        "size not squared": (
            SOLVED.replace(".square().clamp", ".clamp")
            + "            return (left * (rho * size)) @ right, loss",
            "goes with the square",
        ),
        "class by class": (
            SOLVED
            + """
            own = class_output(price / targets.detach().square().sum(1).clamp(min=1e-99), depth)
            return own[:, None] * targets, loss
            """,
            "You take the classes one by one",
        ),
        "not multiplied by the size": (
            SOLVED + "            return (left * rho) @ right, loss",
            "multiplied by the target's size",
        ),
        "eigenvectors": (
            SOLVED
            + """
            values, vectors = torch.linalg.eigh((targets + targets.T) / 2)
            reached = class_output(price / values.square(), depth)
            return (vectors * (values * reached)) @ vectors.T, loss
            """,
            "axes on both sides",
        ),
        "no penalties": (
            SOLVED
            + """
            fit = ((size * (1 - rho)) ** 2).sum() / (2 * k)
            return (left * (rho * size)) @ right, fit
            """,
            "The penalties are missing",
        ),
        "not divided by the classes": (
            SOLVED + "            return (left * (rho * size)) @ right, k * loss",
            "Divide by the number of classes",
        ),
        "without the threshold": (
            SOLVED.replace(", depth)\n            x", ', depth, branch="living")\n            x')
            + "            return (left * (rho * size)) @ right, loss",
            "A direction is dead where its death lowers",
        ),
        "the dead cost nothing": (
            SOLVED
            + """
            loss = ((size**2 * (1 - rho) + price * x) * (rho > 0)).sum() / (2 * k)
            return (left * (rho * size)) @ right, loss
            """,
            "All of its target is lost",
        ),
        "no gradient": (
            SOLVED + "            return (left * (rho * size)) @ right, loss.detach()",
            "no gradient flows",
        ),
        "part of the gradient": (
            SOLVED.replace("size**2 * (1 - rho)", "size.detach() * size * (1 - rho)")
            + "            return (left * (rho * size)) @ right, loss",
            "At a minimum over x, x is a constant",
        ),
        "a size of 0": (
            SOLVED.replace(".clamp(min=1e-99)", "")
            + "            return (left * (rho * size)) @ right, loss",
            "Keep the division finite",
        ),
    },
}

ALTERNATIVES = {
    "answer-1": {
        "plain numbers": """
            raw = [n ** (-depth / (depth + 1)) for n in sizes]
            factor = sum(sizes) / sum(a * n for a, n in zip(raw, sizes))
            return torch.tensor([factor * one for one in raw], dtype=torch.float64)
            """,
    },
    "answer-2": {
        "sums about the first row of a class": """
            n = torch.zeros(classes).double()
            total, squares, point = 0, torch.zeros(classes).double(), None
            for rows, labels in batches:
                if point is None:
                    point = torch.full((classes, rows.shape[1]), torch.nan).double()
                    total = torch.zeros_like(point)
                for k in labels.unique().tolist():
                    own = rows[labels == k]
                    if n[k] == 0:
                        point[k] = own[0]
                    total[k] += (own - point[k]).sum(0)
                    squares[k] += (own - point[k]).square().sum()
                    n[k] += len(own)
            off = total / n[:, None]
            spread, mean = squares / n - off.square().sum(1), point + off
            apart = (mean[:, None] - mean).square().sum(2)
            return ((spread[:, None] + spread) / (2 * apart)).fill_diagonal_(0)
            """,
    },
    "answer-3": {
        "the sign of the slope": ROOTS
        + """
            x = 0.0
            for at, (price, output) in enumerate(zip(prices.tolist(), living.tolist())):
                moved = x + kick
                uphill = price > depth * moved ** (depth - 1) / (1 + moved**depth) ** 2
                if uphill and moved < peak:
                    living[at] = 0.0
                x = (living[at].item() / (1 - living[at].item())) ** (1 / depth)
            return living, hills
            """,
    },
    "answer-4": {
        "values alone, and the outputs from the gradient": """
            k, free = len(targets), targets.detach().clone().requires_grad_()
            price = class_prices([samples] * k, depth, weight_decay, feature_decay)[0]
            def loss_of(t):
                size = torch.linalg.svdvals(t)
                rho = class_output(price / size.detach().square().clamp(min=1e-99), depth)
                x = (rho / (1 - rho)) ** (1 / depth)
                return (size**2 * (1 - rho) + price * x).sum() / (2 * k)
            (slope,) = torch.autograd.grad(loss_of(free), free)
            return targets.detach() - k * slope, loss_of(targets)
            """,
    },
}
