"""The likely mistakes of exercises/source/mixup, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
Those of exercises 3 and 4 stand in ``mistakes_mixup_search``.
"""

from tests.exercises import mistakes_mixup_search

GAP = """
            inside, outside = (1 - left) / parts, left / (classes - parts)
            gap = math.log(inside / outside)
            pull = gap / (1 / parts - inside + outside)
            length = gap * (parts * (classes - parts) * (classes - 1)) ** 0.5 / classes
"""

SPLIT = """
            s_i, s_j = (scores.gather(1, label[:, None])[:, 0] for label in (first, second))
            same, gap = first == second, s_i - s_j
            lost = scores.logsumexp(1) - torch.where(same, s_i, torch.logaddexp(s_i, s_j))
            floor = torch.special.entr(share) + torch.special.entr(1 - share)
            split = share * F.softplus(-gap) + (1 - share) * F.softplus(gap)
"""

HINTS = {
    "answer-1": {
        "the pull for one class": (
            GAP
            + """
            one = math.log((1 - left) / outside)
            return one / (classes * outside), length
            """,
            "That is the pull for one class",
        ),
        "the pull for two": (
            GAP
            + """
            two = math.log((1 - left) / 2 / outside)
            return 2 * two / (classes * outside), length
            """,
            "half-and-half of two classes",
        ),
        "a factor of m": (
            GAP + "            return gap / (classes * outside), length",
            "What is 1/m less the probability",
        ),
        "what is left for each": (
            """
            gap = math.log((1 - left) / parts / left)
            return parts * gap / (classes * left), gap
            """,
            "is shared by all classes that are not",
        ),
        "the others forgotten": (
            GAP + "            return gap / outside, length",
            "r of the others takes part",
        ),
        "the wrong way round": (GAP + "            return length, pull", "First the pull"),
        "the length of the scores": (
            GAP
            + """
            return pull, gap * (parts * (classes - parts) / classes) ** 0.5
            """,
            "the length of the scores",
        ),
        "no root": (GAP + "            return pull, length**2", "Take the root"),
        "the gap": (GAP + "            return pull, gap", "That is the gap"),
        "scores of the others are 0": (
            GAP
            + """
            return pull, gap * (parts * (classes - 1) / classes) ** 0.5
            """,
            "The other classes have scores, too",
        ),
        "one number": (GAP + "            return pull", "expected two numbers"),
        "nothing returned": (GAP, "expected two numbers"),
    },
    "answer-2": {
        "no floor": (
            SPLIT
            + """
            return (along * lost + torch.where(same, 0.0, split)).mean()
            """,
            "The floor is missing",
        ),
        "the floor added": (
            SPLIT
            + """
            return (along * lost + torch.where(same, 0.0, split + floor)).mean()
            """,
            "has the wrong sign",
        ),
        "the weight at the wrong part": (
            SPLIT
            + """
            return (lost + along * torch.where(same, 0.0, split - floor)).mean()
            """,
            "stands at the wrong part",
        ),
        "no weight": (
            SPLIT
            + """
            return (lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "The weight has no effect",
        ),
        "the weight at both": (
            SPLIT
            + """
            return along * (lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "acts on both parts",
        ),
        "i and j exchanged": (
            SPLIT
            + """
            split = share * F.softplus(gap) + (1 - share) * F.softplus(-gap)
            return (along * lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "Which class has the share",
        ),
        "the sign of the mass": (
            SPLIT
            + """
            return (torch.where(same, 0.0, split - floor) - along * lost).mean()
            """,
            "must cost",
        ),
        "one class counted twice": (
            SPLIT
            + """
            lost = scores.logsumexp(1) - torch.logaddexp(s_i, s_j)
            return (along * lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "One class is counted twice in the pair mass",
        ),
        "a split of one class": (
            SPLIT + "            return (along * lost + split - floor).mean()",
            "has no split, so no second part",
        ),
        "nothing special for one class": (
            SPLIT
            + """
            lost = scores.logsumexp(1) - torch.logaddexp(s_i, s_j)
            return (along * lost + split - floor).mean()
            """,
            "counted twice, and it has no split",
        ),
        "0 log 0": (
            SPLIT
            + """
            floor = -share * share.log() - (1 - share) * (1 - share).log()
            return (along * lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "0 log 0 is 0 here",
        ),
        "logarithms of probabilities": (
            """
            r = scores.softmax(1)
            r_i, r_j = (r.gather(1, label[:, None])[:, 0] for label in (first, second))
            same = first == second
            m = torch.where(same, r_i, r_i + r_j)
            floor = torch.special.entr(share) + torch.special.entr(1 - share)
            split = torch.special.xlogy(share, m / r_i) + torch.special.xlogy(1 - share, m / r_j)
            return (-along * m.log() + torch.where(same, 0.0, split - floor)).mean()
            """,
            "a probability that is 0",
        ),
        "a sum": (
            SPLIT
            + """
            return (along * lost + torch.where(same, 0.0, split - floor)).sum()
            """,
            "Return the mean",
        ),
        "the share of the first row": (
            SPLIT
            + """
            split = share[0] * F.softplus(-gap) + (1 - share[0]) * F.softplus(gap)
            return (along * lost + torch.where(same, 0.0, split - floor)).mean()
            """,
            "Does each row use its own share",
        ),
        "no gradient": (
            SPLIT
            + """
            return (along * lost + torch.where(same, 0.0, split - floor)).mean().detach()
            """,
            "no gradient flows",
        ),
        "a detached mass": (
            SPLIT
            + """
            return (along * lost.detach() + torch.where(same, 0.0, split - floor)).mean()
            """,
            "Is a part of it detached",
        ),
    },
} | mistakes_mixup_search.HINTS

ALTERNATIVES = {
    "answer-1": {
        "from the share of the others": """
            e = left / (classes - parts)
            g = math.log((1 - left) / (parts * e))
            high = g * (classes - parts) / classes
            squares = parts * high**2 + (classes - parts) * (high - g) ** 2
            return parts * g / (classes * e), (squares * (classes - 1) / classes) ** 0.5
            """,
    },
    "answer-2": {
        "from the mixed loss": """
            q = torch.stack([s.gather(0, torch.stack([i, j]))
                             for s, i, j in zip(scores, first, second)]).log_softmax(1)
            y = torch.stack([share, 1 - share], dim=1)
            split = torch.where(first == second, 0.0, F.kl_div(q, y, reduction="none").sum(1))
            both = F.one_hot(first, scores.shape[1]) + F.one_hot(second, scores.shape[1])
            inside = scores.masked_fill(both == 0, -torch.inf).logsumexp(1)
            return (along * (scores.logsumexp(1) - inside) + split).mean()
            """,
    },
} | mistakes_mixup_search.ALTERNATIVES
