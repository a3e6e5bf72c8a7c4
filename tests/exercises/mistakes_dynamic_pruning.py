"""The likely mistakes of exercises/source/dynamic_pruning, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
Exercises 3 and 4 stand in ``mistakes_pruning_network``.
"""

from tests.exercises import mistakes_pruning_network as network

PAIR = """
pair = share**2 + correlation * deviation**2
dense = first + layers - 1
"""
SORTED = """
order = response.argsort(dim=1, descending=True, stable=True)
held = response.gather(1, order)
summed = held.cumsum(dim=1)
goal = (mass - 1e-9)[:, None] * held.sum(dim=1, keepdim=True)
"""
KEPT = f"{SORTED}kept = summed - held < goal\nkept[:, 0] = True\n"
BACK = "return torch.zeros_like(kept).scatter(1, order, kept)"

HINTS = {
    "answer-1": {
        "what is spent": (
            f"{PAIR}return (first * share + (layers - 1) * pair) / dense",
            "what is still spent",
        ),
        "outputs only": (
            "return 1 - share",
            "A dropped filter saves twice",
        ),
        "an image that is pruned": (
            f"{PAIR}return 1 - pair",
            "Nothing is pruned in the image",
        ),
        "squares everywhere": (
            "return 1 - share**2",
            "Nothing is pruned in the image",
        ),
        "a product of means": (
            f"{PAIR}return 1 - (first * share + (layers - 1) * share**2) / dense",
            "is not the product of the means",
        ),
        "a correlation for a covariance": (
            f"{PAIR}return 1 - (first * share + (layers - 1) * (share**2 + correlation)) / dense",
            "in units of both deviations",
        ),
        "one deviation": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 + correlation * deviation
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "in units of *both* deviations",
        ),
        "the square of one share": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 + deviation**2
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "mean square of one share",
        ),
        "a covariance that is taken away": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 - correlation * deviation**2
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "look at the sign",
        ),
        "layers that cost the same": (
            f"{PAIR}return 1 - (share + (layers - 1) * pair) / layers",
            "weigh it with f",
        ),
        "a first layer that is one of n others": (
            f"{PAIR}return 1 - (first * share + layers * pair) / (first + layers)",
            "how many others",
        ),
        "shares that multiply along the chain": (
            f"""
            {PAIR.strip().splitlines()[1]}
            spent = first * share + sum(share**at for at in range(2, layers + 1))
            return 1 - spent / dense
            """,
            "do not multiply along the chain",
        ),
        "an absolute correlation": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 + abs(correlation) * deviation**2
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "no absolute value",
        ),
        "a correlation that is squared": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 + (correlation * deviation) ** 2
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "both deviations, once",
        ),
        "a variance and a covariance": (
            f"""
            {PAIR.strip().splitlines()[1]}
            pair = share**2 + deviation**2 * (1 + correlation)
            return 1 - (first * share + (layers - 1) * pair) / dense
            """,
            "both deviations, once",
        ),
        "a dense first layer like the others": (
            f"{PAIR}return 1 - (first * share + (layers - 1) * pair) / layers",
            "Below the line the first layer costs f",
        ),
        "a first layer that reads a share": (
            f"{PAIR}return 1 - (first * share**2 + (layers - 1) * pair) / dense",
            "S_0 = 1",
        ),
    },
    "answer-2": {
        "the chapter's rule": (
            f"{SORTED}kept = summed <= goal\n{BACK}",
            "The filter at which the sum crosses r is dropped",
        ),
        "the chapter's rule, with a rescue": (
            f"{SORTED}kept = summed <= goal\nkept[:, 0] = True\n{BACK}",
            "Keeping the strongest in any case is not enough",
        ),
        "not sorted": (
            """
            ahead = response.cumsum(dim=1) - response
            return ahead < mass[:, None] * response.sum(dim=1, keepdim=True)
            """,
            "the row must be sorted",
        ),
        "left at their places": (
            f"{KEPT}return kept",
            "Bring them back to their filters",
        ),
        "gathered twice": (
            f"{KEPT}return kept.gather(1, order)",
            "is scatter",
        ),
        "the weakest first": (
            KEPT.replace("descending=True", "descending=False") + BACK,
            "not the smallest one",
        ),
        "one threshold for all": (
            f"{SORTED}kept = summed - held < mass[0] * held.sum(dim=1, keepdim=True)\n{BACK}",
            "its own r: is it mass[0]",
        ),
        "the mean threshold": (
            f"{SORTED}kept = summed - held < mass.mean() * held.sum(dim=1, keepdim=True)\n{BACK}",
            "its own r, not their mean",
        ),
        "a share of the filters": (
            f"""
            {SORTED}
            count = torch.ceil(mass * response.shape[1])[:, None]
            kept = torch.arange(response.shape[1]) < count.expand(len(mass), 1)
            {BACK}
            """.replace("\n            ", "\n"),
            "not a share of the filters",
        ),
        "shares that were not taken": (
            f"{SORTED}kept = summed - held < mass[:, None]\n{BACK}",
            "do not sum to 1",
        ),
        "a value as the border": (
            f"{KEPT}"
            "border = held.masked_fill(~kept, math.inf).min(dim=1, keepdim=True).values\n"
            "return (response >= border) & (kept.sum(dim=1, keepdim=True) > 0)",
            "cannot split a tie",
        ),
        "ties from the back": (
            """
            order = response.argsort(dim=1, stable=True).flip(1)
            held = response.gather(1, order)
            kept = held.cumsum(dim=1) - held < (mass - 1e-9)[:, None] * held.sum(1, keepdim=True)
            kept[:, 0] = True
            return torch.zeros_like(kept).scatter(1, order, kept)
            """,
            "turns ties around",
        ),
        "nothing of a dead input": (
            f"{SORTED}kept = summed - held < goal\n{BACK}",
            "keeps filter 0",
        ),
        "no room for rounding": (
            KEPT.replace("(mass - 1e-9)", "mass") + BACK,
            "rounding says less",
        ),
        "a loop over inputs": (
            """
            masks = []
            for row, share in zip(response, mass):
                order = row.argsort(descending=True, stable=True)
                held = row[order]
                kept = held.cumsum(0) - held < (share - 1e-9) * held.sum()
                kept[0] = True
                masks.append(torch.zeros_like(kept).scatter(0, order, kept))
            return torch.stack(masks)
            """,
            "Is there a loop over inputs",
        ),
        "a number that does not grow": (
            KEPT.replace("held.sum(", "(1e-8 + held).sum(") + BACK,
            "Only shares count",
        ),
        "a sum with a floor": (
            KEPT.replace("keepdim=True)", "keepdim=True).clamp(min=1e-12)") + BACK,
            "Only shares count",
        ),
        "the chapter's room for rounding": (
            KEPT.replace("1e-9", "1e-5") + BACK,
            "r - 1e-9 must be reached",
        ),
        "too much room for rounding": (
            KEPT.replace("1e-9", "1e-7") + BACK,
            "r - 1e-9 must be reached",
        ),
        "a set that goes past r": (
            f"""
            {SORTED}
            kept = summed - held <= mass[:, None] * held.sum(dim=1, keepdim=True)
            {BACK}
            """.replace("\n            ", "\n"),
            "no further filter is needed",
        ),
        "all of a dead input": (
            KEPT.replace("< goal", "< goal.where(goal > 0, 1.0)") + BACK,
            "it alone",
        ),
        "lists": (
            """
            rows = []
            for row, share in zip(response.tolist(), mass.tolist()):
                order = sorted(range(len(row)), key=lambda at: -row[at])
                held, kept = 0.0, [False] * len(row)
                for count, at in enumerate(order):
                    if count == 0 or held < (share - 1e-9) * sum(row):
                        kept[at] = True
                    held += row[at]
                rows.append(kept)
            return torch.tensor(rows)
            """,
            "Is there a loop over inputs",
        ),
        "numbers, one by one": (
            """
            kept = torch.zeros(response.shape, dtype=torch.bool)
            for row in range(len(response)):
                order = response[row].argsort(descending=True, stable=True)
                held, goal = 0.0, (mass[row].item() - 1e-9) * response[row].sum().item()
                for count, at in enumerate(order):
                    if count == 0 or held < goal:
                        kept[row, at] = True
                    held += response[row, at].item()
            return kept
            """,
            "Is there a loop over inputs",
        ),
    },
    **network.HINTS,
}
ALTERNATIVES = {
    "answer-1": {
        "layer by layer": """
            dense, spent, before = 0.0, 0.0, None
            for layer in range(layers):
                cost = 1.0 if layer else first
                kept = share if layer == 0 else share * share + correlation * deviation * deviation
                dense, spent = dense + cost, spent + cost * kept
            return 1 - spent / dense
            """,
    },
    "answer-2": {
        "ranks by comparing all pairs": """
            index = torch.arange(response.shape[1])
            one, other = response[:, :, None], response[:, None, :]
            first = (other > one) | ((other == one) & (index[None, :] < index[:, None]))
            ahead = (first * other).sum(dim=2)
            goal = (mass - 1e-9)[:, None] * response.sum(dim=1, keepdim=True)
            return (ahead < goal) | ~first.any(dim=2)
            """,
    },
    **network.ALTERNATIVES,
}
