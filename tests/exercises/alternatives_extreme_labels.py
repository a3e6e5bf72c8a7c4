"""Answers of exercises/source/extreme_labels that are right in another way than the solution.

``ALTERNATIVES[cell][name]`` is the body of the answer's function.
"""

BISECT = """
    with torch.no_grad():
        middle = math.log(k / (room.sum().item() - k)) / sharpness
        low, high = middle - scores.max(), middle - scores.min()
        for _ in range(80):
            t = (low + high) / 2
            few = (room * torch.sigmoid(sharpness * (scores + t))).sum() < k
            low, high = (t, high) if few else (low, t)
"""

ALTERNATIVES = {
    "answer-1": {
        "by trying how many are full": """
            r, best = sorted(relevance, reverse=True), None
            if k >= len(r):
                return 0.0
            for full in range(k):
                rest = r[full:]
                places = [(k - full) * x / sum(rest) for x in rest]
                if max(places) <= 1:
                    return -sum(x * math.log(a) for x, a in zip(rest, places)) / sum(r)
            """,
    },
    "answer-2": {
        "one cross-entropy a positive": """
            total = 0.0
            for row, grades in zip(scores, relevance):
                for i in grades.nonzero()[:, 0]:
                    faces = torch.cat([row[i, None], row[grades == 0] + margin])
                    loss = F.cross_entropy(faces[None], torch.tensor([0]))
                    total = total + grades[i] / grades.sum() * loss
            return total / len(scores)
            """,
        "logsumexp of two": """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            each = torch.logaddexp(scores, log_u + margin) - scores
            return ((each * relevance).sum(1) / relevance.sum(1)).mean()
            """,
    },
    "answer-3": {
        "a function with its own backward": f"""{BISECT}
    class Mask(torch.autograd.Function):
        @staticmethod
        def forward(ctx, s):
            ctx.a = torch.sigmoid(sharpness * (s + t))
            return ctx.a.clone()

        @staticmethod
        def backward(ctx, g):
            v = sharpness * ctx.a * (1 - ctx.a)
            total = (room * v).sum()
            return v * g - (room * v * (g @ v) / total if total > 0 else 0)

    return Mask.apply(scores)
            """,
        "one Newton step in the graph": f"""{BISECT}
    with torch.no_grad():
        a = torch.sigmoid(sharpness * (scores + t))
        slope = (sharpness * room * a * (1 - a)).sum().clamp(min=1e-300)
    t = t + (k - room @ torch.sigmoid(sharpness * (scores + t))) / slope
    return torch.sigmoid(sharpness * (scores + t))
            """,
    },
    "answer-4": {
        "one positive at a time": """
            w = asked[:, None].expand_as(scores)
            other, others, wins = scores[~positives], w[~positives], 0.0
            for s, c in zip(scores[positives], w[positives]):
                wins = wins + c * (others[other < s].sum() + others[other == s].sum() / 2)
            return wins / (w[positives].sum() * others.sum())
            """,
        "numpy": """
            w = asked[:, None].expand_as(scores).numpy()
            s, p = scores.numpy(), positives.numpy()
            order = s[~p].argsort()
            first = np.concatenate([[0], w[~p][order].cumsum()])
            at = [np.searchsorted(s[~p][order], s[p], side) for side in ("left", "right")]
            return w[p] @ (first[at[0]] + first[at[1]]) / 2 / w[p].sum() / first[-1]
            """,
    },
    "answer-5": {
        "a gradient by hand": """
            class Pairs(torch.autograd.Function):
                @staticmethod
                def forward(ctx, s, u):
                    total, for_s, for_u = 0.0, torch.zeros_like(s), torch.zeros_like(u)
                    for rows in torch.arange(len(s)).split(block_size):
                        hinge = F.relu(margin + u - s[rows, None])
                        total = total + hinge.square().sum()
                        for_s[rows], for_u = -2 * hinge.sum(1), for_u + 2 * hinge.sum(0)
                    ctx.save_for_backward(for_s, for_u)
                    return total

                @staticmethod
                def backward(ctx, g):
                    return tuple(g * saved for saved in ctx.saved_tensors)

            rivals = negative.sort(descending=True).values[:hardest]
            return Pairs.apply(positive, rivals) / (len(positive) * hardest)
            """,
        "sums of powers, without pairs": """
            rivals = negative.topk(hardest).values.sort(descending=True).values
            at = torch.searchsorted(-rivals.detach(), margin - positive.detach())
            powers = torch.stack([torch.ones_like(rivals), rivals, rivals**2])
            n, first, second = F.pad(powers.cumsum(1), (1, 0))[:, at]
            x = margin - positive
            return (n * x**2 + 2 * x * first + second).sum() / (len(positive) * hardest)
            """,
    },
}
