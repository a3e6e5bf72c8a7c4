"""Likely mistakes in exercises 3 and 4 of exercises/source/dynamic_pruning, and their hints."""

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
