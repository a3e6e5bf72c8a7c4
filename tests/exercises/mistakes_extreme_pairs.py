"""Likely mistakes in exercises 4 and 5 of exercises/source/extreme_labels, and their hints."""

HINTS = {
    "answer-4": {
        "no weights": (
            """
            from l2s.metrics import auc
            return auc(scores[positives], scores[~positives])
            """,
            "The weights have no effect",
        ),
        "weights of positives alone": (
            """
            own, other = scores[positives], scores[~positives].sort().values
            below = torch.searchsorted(other, own) + torch.searchsorted(other, own, right=True)
            times = asked[:, None].expand_as(scores)[positives]
            return times @ below.double() / (2 * times.sum() * len(other))
            """,
            "Only the positives have a weight",
        ),
        "ties count nothing": (
            """
            w = asked[:, None].expand_as(scores)
            other, order = scores[~positives].sort()
            first = F.pad(w[~positives][order].cumsum(0), (1, 0))
            below = first[torch.searchsorted(other, scores[positives])]
            return w[positives] @ below / (w[positives].sum() * first[-1])
            """,
            "A tie counts half, not 0",
        ),
        "ties count fully": (
            """
            w = asked[:, None].expand_as(scores)
            other, order = scores[~positives].sort()
            first = F.pad(w[~positives][order].cumsum(0), (1, 0))
            below = first[torch.searchsorted(other, scores[positives], right=True)]
            return w[positives] @ below / (w[positives].sum() * first[-1])
            """,
            "A tie counts half, not 1",
        ),
        "weights keep their order": (
            """
            w = asked[:, None].expand_as(scores)
            other = scores[~positives].sort().values
            first = F.pad(w[~positives].cumsum(0), (1, 0))
            below = first[torch.searchsorted(other, scores[positives])]
            below = below + first[torch.searchsorted(other, scores[positives], right=True)]
            return w[positives] @ below / (2 * w[positives].sum() * first[-1])
            """,
            "each weight must move with its score",
        ),
        "within rows": (
            """
            from l2s.metrics import auc
            rows = [auc(s[p], s[~p]) for s, p in zip(scores, positives)]
            return asked @ torch.tensor(rows, dtype=asked.dtype) / asked.sum()
            """,
            "You compare within rows",
        ),
        "the wrong way round": (
            """
            w = asked[:, None].expand_as(scores)
            d = scores[~positives] - scores[positives][:, None]
            pairs = w[positives][:, None] * w[~positives]
            return (pairs * ((d > 0).double() + 0.5 * (d == 0))).sum() / pairs.sum()
            """,
            "the wrong way round",
        ),
        "scores rounded": (
            """
            scores = (1000 * scores).round()
            w = asked[:, None].expand_as(scores)
            other, order = scores[~positives].sort()
            first = F.pad(w[~positives][order].cumsum(0), (1, 0))
            at = [torch.searchsorted(other, scores[positives], right=r) for r in (False, True)]
            below = first[at[0]] + first[at[1]]
            return w[positives] @ below / (2 * w[positives].sum() * first[-1])
            """,
            "not rounded, not in single precision",
        ),
        "scores in single precision": (
            """
            w = asked[:, None].expand_as(scores)
            other, order = scores[~positives].float().sort()
            own = scores[positives].float()
            first = F.pad(w[~positives][order].cumsum(0), (1, 0))
            below = first[torch.searchsorted(other, own)]
            below = below + first[torch.searchsorted(other, own, right=True)]
            return w[positives] @ below / (2 * w[positives].sum() * first[-1])
            """,
            "not rounded, not in single precision",
        ),
        "rows repeated by doubled weights": (
            """
            from l2s.metrics import auc
            rows = torch.arange(len(asked)).repeat_interleave((2 * asked).long())
            return auc(scores[rows][positives[rows]], scores[rows][~positives[rows]])
            """,
            "Weights need not be whole numbers",
        ),
        "all pairs in memory": (
            """
            w = asked[:, None].expand_as(scores)
            d = scores[positives][:, None] - scores[~positives]
            pairs = w[positives][:, None] * w[~positives]
            return (pairs * ((d > 0).double() + 0.5 * (d == 0))).sum() / pairs.sum()
            """,
            "All pairs stand in memory at once",
        ),
    },
    "answer-5": {
        "all negatives": (
            "return F.relu(margin + negative - positive[:, None]).square().mean()",
            "All negatives take part here",
        ),
        "the easiest": (
            """
            rivals = negative.sort().values[:hardest]
            return F.relu(margin + rivals - positive[:, None]).square().mean()
            """,
            "These are the easiest negatives",
        ),
        "divided by all pairs": (
            """
            rivals = negative.topk(hardest).values
            total = F.relu(margin + rivals - positive[:, None]).square().sum()
            return total / (len(positive) * len(negative))
            """,
            "Divide by the number of pairs that take part",
        ),
        "a sum": (
            """
            rivals = negative.topk(hardest).values
            return F.relu(margin + rivals - positive[:, None]).square().sum()
            """,
            "This is the sum",
        ),
        "not squared": (
            """
            rivals = negative.topk(hardest).values
            return F.relu(margin + rivals - positive[:, None]).mean()
            """,
            "Square the hinge",
        ),
        "sign of the margin": (
            """
            rivals = negative.topk(hardest).values
            return F.relu(rivals - positive[:, None] - margin).square().mean()
            """,
            "The margin has the wrong sign",
        ),
        "all pairs at once": (
            """
            rivals = negative.topk(hardest).values
            return F.relu(margin + rivals - positive[:, None]).square().mean()
            """,
            "All pairs exist at once even without a gradient",
        ),
        "a loop whose graph keeps all": (
            """
            rivals, total = negative.topk(hardest).values, 0.0
            for part in positive.split(block_size):
                total = total + F.relu(margin + rivals - part[:, None]).square().sum()
            return total / (len(positive) * hardest)
            """,
            "it is the graph that keeps every block",
        ),
        "a mean of means": (
            """
            rivals = negative.topk(hardest).values
            parts = positive.split(block_size)
            means = [F.relu(margin + rivals - p[:, None]).square().mean() for p in parts]
            return torch.stack(means).mean()
            """,
            "the last block is smaller",
        ),
        "the last block is lost": (
            """
            rivals, total = negative.topk(hardest).values, 0.0
            for at in range(0, len(positive) - block_size + 1, block_size):
                part = positive[at : at + block_size]
                total = total + F.relu(margin + rivals - part[:, None]).square().sum()
            return total / (len(positive) * hardest)
            """,
            "the last block is smaller",
        ),
        "all that tie with the last": (
            """
            from torch.utils.checkpoint import checkpoint

            rivals = negative[negative >= negative.topk(hardest).values[-1]]

            def of_block(part, rivals):
                return F.relu(margin + rivals - part[:, None]).square().sum()

            parts = positive.split(block_size)
            total = sum(checkpoint(of_block, part, rivals, use_reentrant=False) for part in parts)
            return total / (len(positive) * hardest)
            """,
            "Of equal negatives, take only so many",
        ),
        "pairs that are apart do not count": (
            """
            from torch.utils.checkpoint import checkpoint

            rivals = negative.topk(hardest).values
            rivals = rivals[rivals > positive.detach().min() - margin]

            def of_block(part, rivals):
                return F.relu(margin + rivals - part[:, None]).square().sum()

            parts = positive.split(block_size)
            total = sum(checkpoint(of_block, part, rivals, use_reentrant=False) for part in parts)
            return total / (len(positive) * len(rivals))
            """,
            "still counts in the mean",
        ),
        "blocks of one fixed size": (
            """
            from torch.utils.checkpoint import checkpoint

            rivals = negative.topk(hardest).values

            def of_block(part, rivals):
                return F.relu(margin + rivals - part[:, None]).square().sum()

            parts = positive.split(64)
            total = sum(checkpoint(of_block, part, rivals, use_reentrant=False) for part in parts)
            return total / (len(positive) * hardest)
            """,
            "go through the positives in blocks of block_size",
        ),
        "a backward that forgets what arrives": (
            """
            class Pairs(torch.autograd.Function):
                @staticmethod
                def forward(ctx, s, u):
                    total, for_s, for_u = 0.0, torch.zeros_like(s), torch.zeros_like(u)
                    for rows in torch.arange(len(s)).split(block_size):
                        hinge = F.relu(margin + u - s[rows, None])
                        total = total + hinge.square().sum()
                        for_s[rows], for_u = -2 * hinge.sum(1), for_u + 2 * hinge.sum(0)
                    pairs = len(s) * len(u)
                    ctx.save_for_backward(for_s / pairs, for_u / pairs)
                    return total / pairs

                @staticmethod
                def backward(ctx, g):
                    return ctx.saved_tensors

            return Pairs.apply(positive, negative.topk(hardest).values)
            """,
            "must multiply by the gradient that arrives",
        ),
        "detached negatives": (
            """
            rivals = negative.detach().topk(hardest).values
            return F.relu(margin + rivals - positive[:, None]).square().mean()
            """,
            "no gradient of your loss reaches 1",
        ),
        "no gradient": (
            """
            rivals = negative.topk(hardest).values
            return F.relu(margin + rivals - positive[:, None]).square().mean().item()
            """,
            ".item()",
        ),
    },
}
