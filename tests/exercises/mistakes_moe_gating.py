"""The likely mistakes of exercises/source/moe_gating, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
"""

STEP = """
kept = sum(math.exp(one + bias) for one, bias in stay)
u, v = math.exp(score + leaves), math.exp(score + comes)
"""
PUSHES = """
tokens, experts = scores.shape
pushes = torch.zeros(experts, dtype=scores.dtype)
for _ in range(steps):
    load = select(scores + pushes, k).sum(dim=0)
    pushes = pushes + rate * torch.sign(tokens * k / experts - load)
"""
SHARES = "return pushes, scores.masked_fill(~chosen, -math.inf).softmax(dim=1)"
CHOSEN = f"chosen = select(scores + pushes, k)\n{SHARES}"
SPLIT = """
q = 1 - share
b = -share * offset / q
spread = share * offset**2 + q * b**2
gap = offset**2 * (1 - (share / q) ** 2) / 3
"""
LIKING = "liking = (inputs @ slopes.T).softmax(dim=1)\n"
TAKEN = f"{LIKING}share, token = liking.T.topk(places, dim=1)\n"
ROWS = "rows = share[:, :, None] * torch.bmm(inputs[token], weights)\n"
BACK = "return torch.zeros_like(inputs).index_add(0, token.flatten(), rows.flatten(0, 1))"

HINTS = {
    "answer-1": {
        "no half": (
            f"{STEP}\nreturn 2 * max(u, v) / (kept + max(u, v))",
            "factor of one half",
        ),
        "no biases": (
            """
            kept = sum(math.exp(one) for one, _ in stay)
            return math.exp(score) / (kept + math.exp(score))
            """,
            "The biases do not choose, but they share",
        ),
        "the weight of the one that leaves": (
            f"{STEP}\nreturn u / (kept + u)",
            "what the one that leaves had",
        ),
        "only the two that are exchanged": (
            f"{STEP}\nreturn (u / (kept + u) + v / (kept + v)) / 2",
            "The experts that stay change their weights",
        ),
        "a loss that is a gain": (
            f"{STEP}\nreturn abs(u / (kept + u) - v / (kept + v))",
            "no gain at the place of the other",
        ),
        "all share at once": (
            f"{STEP}\nreturn v / (kept + u + v)",
            "Only K experts share the weight",
        ),
        "another way back": (
            f"{STEP}\nreturn v / (kept + v)",
            "same height from both sides",
        ),
        "an overflow where one stays": (
            """
            kept = sum(math.exp(one + bias - score) for one, bias in stay)
            larger = math.exp(max(leaves, comes))
            return larger / (kept + larger)
            """,
            "that of an expert that stays",
        ),
        "an overflow": (
            f"{STEP}\nreturn max(u, v) / (kept + max(u, v))",
            "Take the largest exponent out",
        ),
    },
    "answer-2": {
        "pushed the wrong way": (
            PUSHES.replace("tokens * k / experts - load", "load - tokens * k / experts") + CHOSEN,
            "pushed up: look at the sign",
        ),
        "as far as it lacks": (
            PUSHES.replace("torch.sign(", "(") + CHOSEN,
            "only the sign of the difference counts",
        ),
        "an even share without K": (
            PUSHES.replace("tokens * k", "tokens") + CHOSEN,
            "A token makes K choices",
        ),
        "counts without pushes": (
            PUSHES.replace("select(scores + pushes, k)", "select(scores, k)") + CHOSEN,
            "Count the choices that the pushes lead to",
        ),
        "one step only": (
            PUSHES.replace("range(steps)", "range(min(steps, 1))") + CHOSEN,
            "do not move any more",
        ),
        "pushes in the softmax": (
            PUSHES
            + "chosen = select(scores + pushes, k)\n"
            + SHARES.replace("scores.masked", "(scores + pushes).masked"),
            "it does not share",
        ),
        "pushes without effect": (
            PUSHES + f"chosen = select(scores, k)\n{SHARES}",
            "no effect on the choice",
        ),
        "shares of all experts": (
            f"{PUSHES}return pushes, scores.softmax(dim=1) * select(scores + pushes, k)",
            "sum to 1",
        ),
        "a push for exactly the even share": (
            PUSHES.replace(
                "torch.sign(tokens * k / experts - load)",
                "torch.where(tokens * k / experts > load, 1.0, -1.0)",
            )
            + CHOSEN,
            "The sign of 0 is 0",
        ),
        "an even share that is rounded": (
            PUSHES.replace("tokens * k / experts", "tokens * k // experts") + CHOSEN,
            "do not round it",
        ),
        "a score of 0 for who is left out": (
            f"{PUSHES}return pushes, (scores * select(scores + pushes, k)).softmax(dim=1)",
            "exp(0) = 1",
        ),
        "scores changed in place": (
            """
            tokens, experts = scores.shape
            pushes = torch.zeros(experts, dtype=scores.dtype)
            for _ in range(steps):
                load = select(scores, k).sum(dim=0)
                move = rate * torch.sign(tokens * k / experts - load)
                pushes = pushes + move
                scores += move
            chosen = select(scores, k)
            return pushes, (scores - pushes).masked_fill(~chosen, -math.inf).softmax(dim=1)
            """,
            "changes its argument",
        ),
        "nobody is left out": (
            f"{PUSHES}return pushes, scores.softmax(dim=1)",
            "have no weight",
        ),
        "the choice before the last step": (
            "chosen = select(scores, k)"
            + PUSHES.replace("    load =", "    chosen = select(scores + pushes, k)\n    load =")
            + SHARES,
            "moved once more",
        ),
    },
    "answer-3": {
        "a mirror image": (
            f"{SPLIT}\nreturn -offset, variance - offset**2, variance - offset**2",
            "does the mean stay",
        ),
        "the larger share moves more": (
            f"{SPLIT}\nreturn -offset * q / share, variance - spread, variance - spread",
            "moves less, not more",
        ),
        "both to one side": (
            f"{SPLIT}\nreturn -b, variance - spread, variance - spread",
            "Into which direction",
        ),
        "variances as they were": (
            f"{SPLIT}\nreturn b, variance, variance",
            "wider than one",
        ),
        "no skew": (
            f"{SPLIT}\nreturn b, variance - spread, variance - spread",
            "the third order",
        ),
        "spread of a mirror image": (
            f"{SPLIT}\nreturn b, variance - offset**2, variance - offset**2",
            "use your delta",
        ),
        "wider": (
            f"{SPLIT}\nreturn b, variance + spread + q * gap, variance + spread - share * gap",
            "narrower each",
        ),
        "no factor of the third moment": (
            f"{SPLIT}\nreturn b, variance - spread - 3 * q * gap, "
            "variance - spread + 3 * share * gap",
            "has a factor 3",
        ),
        "the skew doubles": (
            f"{SPLIT}\nreturn b, variance - spread + q * gap, variance - spread - share * gap",
            "not double",
        ),
        "first and second": (
            f"{SPLIT}\nreturn b, variance - spread + share * gap, variance - spread - q * gap",
            "Is the first the one at epsilon",
        ),
        "half of each change": (
            f"{SPLIT}\nreturn b, variance - (spread + q * gap) / 2, "
            "variance - (spread - share * gap) / 2",
            "*half* of the change",
        ),
        "changes instead of variances": (
            f"{SPLIT}\nreturn b, -spread - q * gap, -spread + share * gap",
            "not their changes",
        ),
        "deviations": (
            f"{SPLIT}\nreturn b, (variance - spread - q * gap) ** 0.5, "
            "(variance - spread + share * gap) ** 0.5",
            "sigma is a variance",
        ),
    },
    "answer-4": {
        "tokens choose": (
            f"""
            {LIKING.strip()}
            each = max(1, round(places * len(slopes) / len(inputs)))
            share, expert = liking.topk(each, dim=1)
            return torch.einsum("tk,td,tkdf->tf", share, inputs, weights[expert])
            """,
            "Let every expert choose its tokens",
        ),
        "a softmax over tokens": (
            TAKEN.replace("softmax(dim=1)", "softmax(dim=0)") + ROWS + BACK,
            "goes over experts, not over tokens",
        ),
        "a choice by the raw score": (
            f"""{LIKING}
token = (inputs @ slopes.T).T.topk(places, dim=1).indices
share = liking.T.gather(1, token)
{ROWS}{BACK}
            """,
            "not by the raw score",
        ),
        "a mean of those who took it": (
            f"""{TAKEN}{ROWS}
count = torch.zeros(len(inputs), dtype=inputs.dtype)
count = count.index_add(0, token.flatten(), torch.ones_like(share).flatten())
outputs = torch.zeros_like(inputs).index_add(0, token.flatten(), rows.flatten(0, 1))
return outputs / count.clamp(min=1)[:, None]
            """,
            "no mean",
        ),
        "weights that sum to 1": (
            f"""{TAKEN}
whole = torch.zeros(len(inputs), dtype=inputs.dtype)
whole = whole.index_add(0, token.flatten(), share.flatten())
share = share / whole[token]
{ROWS}{BACK}
            """,
            "nothing is divided after the choice",
        ),
        "no weights": (
            TAKEN + "rows = torch.bmm(inputs[token], weights)\n" + BACK,
            "Where are the weights P?",
        ),
        "an assignment instead of a sum": (
            f"""{TAKEN}{ROWS}
outputs = torch.zeros_like(inputs)
for index, row in zip(token, rows, strict=True):
    outputs = outputs.index_copy(0, index, row)
return outputs
            """,
            "keeps one of them",
        ),
        "weights without a gradient": (
            TAKEN + "share = share.detach()\n" + ROWS + BACK,
            "no gradient of the outputs",
        ),
        "all tokens for all experts": (
            f"""{TAKEN}
taken = torch.zeros_like(liking).scatter(0, token.T, 1.0)
every = torch.einsum("td,edf->tef", inputs, weights)
return ((liking * taken)[:, :, None] * every).sum(dim=1)
            """,
            "tokens that it did not take",
        ),
        "a matrix for each choice": (
            f"""{TAKEN}
each = weights[:, None].repeat(1, places, 1, 1)
rows = share[:, :, None] * torch.einsum("ecd,ecdf->ecf", inputs[token], each)
{BACK}
            """,
            "a matrix copied for each token",
        ),
    },
}

ALTERNATIVES = {
    "answer-1": {
        "half of the sum of differences": """
            top = max([score + leaves, score + comes, *(one + bias for one, bias in stay)])
            kept = [math.exp(one + bias - top) for one, bias in stay]
            u, v = math.exp(score + leaves - top), math.exp(score + comes - top)
            before, after = sum(kept) + u, sum(kept) + v
            moved = sum(abs(one / before - one / after) for one in kept)
            return (moved + u / before + v / after) / 2
            """,
    },
    "answer-2": {
        "by sorting": """
            tokens, experts = scores.shape
            pushes = scores.new_zeros(experts)

            def choice():
                order = (scores + pushes).argsort(dim=1, descending=True, stable=True)
                return order[:, :k]

            for _ in range(steps):
                load = torch.bincount(choice().flatten(), minlength=experts)
                pushes += rate * (tokens * k - load * experts).sign()
            kept = scores.gather(1, choice()).softmax(dim=1)
            return pushes, torch.zeros_like(scores).scatter(1, choice(), kept)
            """,
    },
    "answer-3": {
        "two linear equations": """
            rest = 1 - share
            second = -share * offset / rest
            system = torch.tensor(
                [[share, rest], [3 * share * offset, 3 * rest * second]], dtype=torch.float64
            )
            lacks = torch.tensor(
                [share * offset**2 + rest * second**2, share * offset**3 + rest * second**3],
                dtype=torch.float64,
            )
            one, other = torch.linalg.solve(system, -lacks)
            return second, variance + one, variance + other
            """,
    },
    "answer-4": {
        "one expert after the other": """
            liking = torch.softmax(inputs @ slopes.T, dim=1)
            outputs = torch.zeros_like(inputs)
            for expert, matrix in enumerate(weights):
                token = liking[:, expert].argsort(descending=True)[:places]
                row = liking[token, expert][:, None] * (inputs[token] @ matrix)
                outputs = outputs.index_add(0, token, row)
            return outputs
            """,
    },
}
