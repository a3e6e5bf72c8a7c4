"""The likely mistakes of exercises/source/dynamic_pruning, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
"""

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
COUNT = """
def count(reads, writes):
    parts = [one.reshape(len(one), groups, -1).sum(dim=2) for one in (reads, writes)]
    return (parts[0] * parts[1]).sum(dim=1)

pairs = 0
for inner, outer in blocks:
    wanted = outer.reshape(len(outer), groups, -1).any(dim=2)
    inner = inner & wanted.repeat_interleave(inner.shape[1] // groups, dim=1)
    pairs = pairs + count(stream, inner) + count(inner, outer)
    stream = outer if after else stream | outer
"""
TOTAL = "return pairs * kernel**2 * area"
HEARD = (
    "heard = {0}.reshape(len({0}), groups, -1).any(dim=2)"
    ".repeat_interleave({1}.shape[1] // groups, dim=1)\n"
)
UNREAD = f"""
streams, wanted, pairs = [stream], torch.ones_like(stream), 0
for _, outer in blocks:
    streams.append(outer if after else streams[-1] | outer)

def count(reads, writes):
    parts = [one.reshape(len(one), groups, -1).sum(dim=2) for one in (reads, writes)]
    return (parts[0] * parts[1]).sum(dim=1)

for before, (inner, outer) in reversed(list(zip(streams, blocks))):
    passed = wanted & outer if after else wanted
    outer = outer & wanted
    {HEARD.format("outer", "inner")}    inner = inner & heard
    pairs = pairs + count(before, inner) + count(inner, outer)
    {HEARD.format("inner", "outer")}    wanted = passed | heard
"""
EVENLY = "return reads.sum(dim=1) * writes.sum(dim=1) / groups\n"
VOTES = """
side = torch.where(kept, -1.0, 1.0).double()
u = side * logits
group = torch.where(kept, kept.sum(dim=0), (~kept).sum(dim=0))
votes = 0.5 / group / logits.shape[1]
"""
VALUE = "value = (votes * F.softplus(u)).sum()\n"
PULL = "return value, votes * side * torch.sigmoid(u)"


def voted(votes):
    """The solution with other votes."""
    return VOTES.replace("votes = 0.5 / group / logits.shape[1]", votes) + VALUE + PULL


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
    "answer-3": {
        "a kernel that is a line": (
            COUNT + TOTAL.replace("kernel**2", "kernel"),
            "K times K entries",
        ),
        "products and sums": (
            COUNT + TOTAL.replace("return", "return 2 *"),
            "a product counts once",
        ),
        "one place": (
            COUNT + TOTAL.replace(" * area", ""),
            "Every place of the map",
        ),
        "filters that nobody reads": (
            COUNT.replace("    inner = inner & wanted", "    unused = inner & wanted") + TOTAL,
            "nobody reads them",
        ),
        "filters that another group would read": (
            COUNT.replace(
                "outer.reshape(len(outer), groups, -1).any(dim=2)",
                "outer.any(dim=1, keepdim=True).expand(-1, groups)",
            )
            + TOTAL,
            "are all of *these* dropped",
        ),
        "all channels of the stream": (
            COUNT.replace("count(stream, inner)", "count(torch.ones_like(stream), inner)") + TOTAL,
            "cost nothing",
        ),
        "an inner mask that does not save": (
            COUNT.replace("in blocks:\n", "in blocks:\n    inner = torch.ones_like(inner)\n")
            + TOTAL,
            "saves in both convolutions",
        ),
        "the mean over inputs": (
            f"{COUNT}return (pairs * kernel**2 * area).double().mean().expand(len(pairs))",
            "One number for each input",
        ),
        "one number": (
            f"{COUNT}return (pairs * kernel**2 * area).sum()",
            "One number for each input",
        ),
        "the short formula": (
            COUNT.replace("    parts =", f"    {EVENLY}    parts =") + TOTAL,
            "not spread evenly",
        ),
        "no groups": (
            COUNT.replace("    parts =", f"    {EVENLY.replace(' / groups', '')}    parts =")
            + TOTAL,
            "reads its own group only",
        ),
        "divided by the groups once more": (
            COUNT + TOTAL + " / groups",
            "nothing is left to divide",
        ),
        "groups that alternate": (
            COUNT.replace(
                "one.reshape(len(one), groups, -1).sum(dim=2)",
                "one.reshape(len(one), -1, groups).sum(dim=1)",
            )
            + TOTAL,
            "lie side by side",
        ),
        "a stream that stays": (
            COUNT.replace("    stream = outer if after else stream | outer\n", "") + TOTAL,
            "what the first one left",
        ),
        "only what somebody reads at last": (
            UNREAD + TOTAL,
            "look no further than its own block",
        ),
        "a stream without biases": (
            COUNT.replace(
                "    stream = outer if after else stream | outer\n",
                f"    {HEARD.format('inner', 'outer')}"
                "    new = outer & heard\n"
                "    stream = outer & (stream | new) if after else stream | new\n",
            )
            + TOTAL,
            "It has a bias",
        ),
        "inner filters without biases": (
            COUNT.replace(
                "count(inner, outer)\n",
                "count(inner & heard, outer)\n",
            ).replace(
                "    pairs = pairs +", f"    {HEARD.format('stream', 'inner')}    pairs = pairs +"
            )
            + TOTAL,
            "It has a bias",
        ),
        "always after": (
            COUNT.replace("outer if after else stream | outer", "outer") + TOTAL,
            "leaves in the stream what was there",
        ),
        "always before": (
            COUNT.replace("outer if after else stream | outer", "stream | outer") + TOTAL,
            "clears the channel of the stream",
        ),
        "what both have": (
            COUNT.replace("stream | outer", "stream & outer") + TOTAL,
            "only if *both* parts are",
        ),
        "the first block": (
            COUNT.replace("in blocks", "in blocks[:1]") + TOTAL,
            "the first block only",
        ),
        "a stream that is changed": (
            COUNT.replace(
                "    stream = outer if after else stream | outer\n",
                "    if after:\n        stream = outer\n    else:\n        stream |= outer\n",
            )
            + TOTAL,
            "|= works in place",
        ),
    },
    "answer-4": {
        "the plain mean": (
            voted("votes = 1 / logits.numel()"),
            "the majority wins",
        ),
        "a balance of the layer": (
            voted("votes = 0.5 / torch.where(kept, kept.sum(), (~kept).sum())"),
            "Balance each filter by itself",
        ),
        "two whole means": (
            voted("votes = 1 / group / logits.shape[1]"),
            "half of the weight",
        ),
        "the other group's size": (
            voted("votes = 0.5 / (len(kept) - group) / logits.shape[1]"),
            "even more votes",
        ),
        "a sum over filters": (
            voted("votes = 0.5 / group"),
            "The mean over the filters",
        ),
        "a weight of the kept": (
            voted(
                "ratio = (~kept).sum(dim=0) / kept.sum(dim=0)\n"
                "votes = torch.where(kept, ratio, 1.0) / logits.numel()"
            ),
            "both groups need a mean",
        ),
        "the chapter's weight": (
            voted("votes = torch.where(kept, (~kept).sum() / kept.sum(), 1.0) / logits.numel()"),
            "the chapter's weight for a whole layer",
        ),
        "a wrong sign": (
            VOTES.replace("-1.0, 1.0", "1.0, -1.0") + VALUE + PULL,
            "wants a *large* logit",
        ),
        "a gradient with a wrong sign": (
            VOTES + VALUE + PULL.replace("votes * side", "-votes * side"),
            "The value falls when",
        ),
        "a gradient without votes": (
            VOTES + VALUE + PULL.replace("votes * side", "side"),
            "The votes are missing",
        ),
        "a gradient without the mean over filters": (
            VOTES + VALUE + PULL.replace("votes", "logits.shape[1] * votes"),
            "know the mean over filters",
        ),
        "a gradient without the half": (
            VOTES + VALUE + PULL.replace("votes", "2 * votes"),
            "know the one half",
        ),
        "a gradient in u": (
            VOTES + VALUE + PULL.replace("side * ", ""),
            "The inner derivative",
        ),
        "the sigmoid of z": (
            VOTES + VALUE + PULL.replace("sigmoid(u)", "sigmoid(logits)"),
            "The sigmoid of u, not of z",
        ),
        "the chance to be right": (
            VOTES + VALUE + PULL.replace("sigmoid(u)", "sigmoid(-u)"),
            "the chance to be *wrong*",
        ),
        "the gradient of the plain mean": (
            VOTES + VALUE + PULL.replace("votes * side", "side / logits.numel()"),
            "The value is right, its gradient has other votes",
        ),
        "0 divided by 0": (
            """
            z, t = logits, kept.double()
            ones, zeros = t.sum(dim=0), (1 - t).sum(dim=0)
            keep = (t * F.softplus(-z)).sum(dim=0) / ones
            drop = ((1 - t) * F.softplus(z)).sum(dim=0) / zeros
            slope = (1 - t) * torch.sigmoid(z) / zeros - t * torch.sigmoid(-z) / ones
            return (keep + drop).mean() / 2, slope / 2 / logits.shape[1]
            """,
            "The mean over no inputs is 0",
        ),
        "one half that counts as a whole": (
            voted(
                "kinds = kept.any(dim=0).double() + (~kept).any(dim=0).double()\n"
                "votes = 1 / kinds / group / logits.shape[1]"
            ),
            "with the weight one half",
        ),
        "an exponential that overflows": (
            VOTES + "value = (votes * torch.log(1 + torch.exp(u))).sum()\n" + PULL,
            "Let no exponent be positive",
        ),
        "the logarithm of a sigmoid": (
            VOTES + "value = -(votes * torch.log(torch.sigmoid(-u))).sum()\n" + PULL,
            "take no logarithm of a sigmoid",
        ),
        "digits lost in the value": (
            VOTES
            + "value = (votes * (u.clamp(min=0) + torch.log(1 + torch.exp(-u.abs())))).sum()\n"
            + PULL,
            "log1p keeps what log loses",
        ),
        "digits lost in the gradient": (
            VOTES + VALUE + PULL.replace("torch.sigmoid(u)", "(1 - torch.sigmoid(-u))"),
            "sigmoid(-40) is not",
        ),
        "autograd": (
            """
            leaf = logits.clone().requires_grad_()
            group = torch.where(kept, kept.sum(dim=0), (~kept).sum(dim=0))
            u = torch.where(kept, -leaf, leaf)
            value = (F.softplus(u) / group).sum() / 2 / logits.shape[1]
            return value, torch.autograd.grad(value, leaf)[0]
            """,
            "autograd and torch.func do not count",
        ),
        "autograd, switched on": (
            """
            with torch.inference_mode(False), torch.enable_grad():
                leaf = logits.clone().requires_grad_()
                group = torch.where(kept, kept.sum(dim=0), (~kept).sum(dim=0)).clone()
                u = torch.where(kept.clone(), -leaf, leaf)
                value = (F.softplus(u) / group).sum() / 2 / logits.shape[1]
                value.backward()
            return value.detach(), leaf.grad
            """,
            "autograd and torch.func do not count",
        ),
        "a gradient from torch.func": (
            """
            def value(z):
                group = torch.where(kept, kept.sum(dim=0), (~kept).sum(dim=0))
                return (F.softplus(torch.where(kept, -z, z)) / group).sum() / 2 / z.shape[1]

            return tuple(reversed(torch.func.grad_and_value(value)(logits)))
            """,
            "autograd and torch.func do not count",
        ),
        "forward mode": (
            """
            def value(z):
                group = torch.where(kept, kept.sum(dim=0), (~kept).sum(dim=0))
                return (F.softplus(torch.where(kept, -z, z)) / group).sum() / 2 / z.shape[1]

            return value(logits), torch.func.jacfwd(value)(logits)
            """,
            "autograd and torch.func do not count",
        ),
        "a value alone": (
            f"{VOTES}return (votes * F.softplus(u)).sum()",
            "Return a tuple",
        ),
    },
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
    "answer-3": {
        "a table of who reads whom": """
            def count(reads, writes):
                wide, narrow = writes.shape[1] // groups, reads.shape[1] // groups
                own = torch.arange(writes.shape[1]) // wide
                theirs = torch.arange(reads.shape[1]) // narrow
                table = (own[:, None] == theirs[None, :]).double()
                return torch.einsum("bo,oi,bi->b", writes.double(), table, reads.double())

            pairs = torch.zeros(len(stream), dtype=torch.float64)
            for inner, outer in blocks:
                reader = torch.arange(outer.shape[1]) // (outer.shape[1] // groups)
                own = torch.arange(inner.shape[1]) // (inner.shape[1] // groups)
                reads = (reader[:, None] == own[None, :]).double()
                inner = inner & (outer.double() @ reads > 0)
                pairs += count(stream, inner)
                pairs += count(inner, outer)
                stream = torch.where(torch.tensor(after), outer, stream | outer)
            return kernel * kernel * area * pairs
            """,
    },
    "answer-4": {
        "filter by filter": """
            value, gradient = logits.new_zeros(()), torch.zeros_like(logits)
            for c, (z, t) in enumerate(zip(logits.T, kept.T)):
                for sign, own in ((-1.0, t), (1.0, ~t)):
                    if own.any():
                        u = sign * z[own]
                        value += torch.logaddexp(u, torch.zeros_like(u)).mean()
                        gradient[own, c] = sign * torch.exp(F.logsigmoid(u)) / own.sum()
            return value / (2 * len(logits.T)), gradient / (2 * len(logits.T))
            """,
    },
}
