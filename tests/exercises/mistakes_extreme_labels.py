"""The likely mistakes of exercises/source/extreme_labels, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
Exercise 3 stands in ``mistakes_extreme_topk``, exercises 4 and 5 in ``mistakes_extreme_pairs``.
"""

from tests.exercises.mistakes_extreme_pairs import HINTS as PAIRS
from tests.exercises.mistakes_extreme_topk import HINTS as TOPK

HINTS = (
    {
        "answer-1": {
            "sign": (
                """
            share = k / len(relevance)
            return math.log(share)
            """,
                "the sign is not",
            ),
            "relevance is not divided": (
                """
            share = [k * r / sum(relevance) for r in relevance]
            return -sum(r * math.log(a) for r, a in zip(relevance, share))
            """,
                "divide the relevance by its sum",
            ),
            "equal places": ("return math.log(len(relevance) / k)", "deserves more"),
            "more than one place": (
                """
            w = [r / sum(relevance) for r in relevance]
            return -sum(x * math.log(k * x) for x in w)
            """,
                "more than one place",
            ),
            "cut, and the rest is lost": (
                """
            w = [r / sum(relevance) for r in relevance]
            return -sum(x * math.log(min(1, k * x)) for x in w)
            """,
                "Who could use it?",
            ),
            "shared out only once": (
                """
            w = [r / sum(relevance) for r in relevance]
            rest = [x for x in w if k * x < 1]
            places = k - (len(w) - len(rest))
            return -sum(x * math.log(places * x / sum(rest)) for x in rest)
            """,
                "is somebody above 1 now?",
            ),
            "the first label is the most relevant": (
                """
            w, places, loss = [r / sum(relevance) for r in relevance], k, 0.0
            while w and places * w[0] >= sum(w):
                w.pop(0)
                places -= 1
            return -sum(x * math.log(places * x / sum(w)) for x in w)
            """,
                "more than one place",
            ),
            "the k most relevant": (
                """
            w = sorted((r / sum(relevance) for r in relevance), reverse=True)
            return -sum(x * math.log(1.0 if i < k else 0.0) for i, x in enumerate(w))
            """,
                "is there a log 0",
            ),
            "more places than labels": (
                """
            w, places = sorted(r / sum(relevance) for r in relevance), k
            while places * w[-1] >= sum(w):
                w.pop()
                places -= 1
            return -sum(x * math.log(places * x / sum(w)) for x in w)
            """,
                "but your function stopped with IndexError",
            ),
            "shared out only twice": (
                """
            w, places = [r / sum(relevance) for r in relevance], k
            for _ in range(2):
                rest = [x for x in w if places * x < sum(w)]
                w, places = rest, places - (len(w) - len(rest))
            return -sum(x * math.log(places * x / sum(w)) for x in w)
            """,
                "is somebody above 1 now?",
            ),
            "the rest is shared out evenly": (
                """
            r, places = sorted(relevance, reverse=True), k
            while r and places * r[0] > sum(r):
                r.pop(0)
                places -= 1
            w = [x / sum(relevance) for x in r]
            even = len(r) < len(relevance)
            entries = [places / len(r) if even else places * x / sum(r) for x in r]
            return -sum(x * math.log(min(1, a)) for x, a in zip(w, entries))
            """,
                "more to the more relevant even after",
            ),
            "all places but one are filled": (
                """
            w, places = sorted((r / sum(relevance) for r in relevance), reverse=True), k
            if k >= len(w):
                return 0.0
            if places * w[0] > 1:
                w, places = w[k - 1 :], 1
            return -sum(x * math.log(places * x / sum(w)) for x in w)
            """,
                "A better mask exists",
            ),
            "as many places as labels": (
                """
            if k > len(relevance):
                return 0.0
            w, places = sorted(r / sum(relevance) for r in relevance), k
            while places * w[-1] >= sum(w):
                w.pop()
                places -= 1
            return -sum(x * math.log(places * x / sum(w)) for x in w)
            """,
                "3 labels in 3 places: expected a number, but your function stopped",
            ),
            "nothing returned": ("share = sum(relevance)", "return its result"),
        },
        "answer-2": {
            "relevance is not used": (
                """
            own = relevance > 0
            log_u = scores.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
            each = F.softplus(log_u + margin - scores).masked_fill(~own, 0)
            return (each.sum(1) / own.sum(1)).mean()
            """,
                "Where is the relevance?",
            ),
            "relevance is not divided": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            return (relevance * F.softplus(log_u + margin - scores)).sum(1).mean()
            """,
                "Divide the relevance of a row",
            ),
            "relevance is divided by that of the batch": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            return (relevance / relevance.sum() * F.softplus(log_u + margin - scores)).sum()
            """,
                "over which axis",
            ),
            "sign of the margin": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u - margin - scores)).sum(1).mean()
            """,
                "The margin has the wrong sign",
            ),
            "no margin": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u - scores)).sum(1).mean()
            """,
                "The margin has no effect",
            ),
            "positives compete": (
                """
            moved = torch.where(relevance > 0, scores, scores + margin)
            share = relevance / relevance.sum(1, keepdim=True)
            return -(share * moved.log_softmax(1)).sum(1).mean()
            """,
                "they compete again",
            ),
            "positives compete, all with the margin": (
                """
            share, total = relevance / relevance.sum(1, keepdim=True), 0.0
            for j in range(scores.shape[1]):
                others = torch.cat([scores[:, :j], scores[:, j + 1 :]], 1).logsumexp(1)
                total = total + share[:, j] * F.softplus(others + margin - scores[:, j])
            return total.mean()
            """,
                "they compete again",
            ),
            "a mask that is a number": (
                """
            log_u = scores.masked_fill(relevance > 0, -100.0).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u + margin - scores)).sum(1).mean()
            """,
                "such as -100, instead of minus infinity",
            ),
            "exponentials of scores": (
                """
            u = (scores.exp() * (relevance == 0)).sum(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(u.log() + margin - scores)).sum(1).mean()
            """,
                "an exponential overflows",
            ),
            "logarithm of a probability": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            chance = torch.sigmoid(scores - log_u - margin)
            return -(share * torch.log(chance)).sum(1).mean()
            """,
                "a probability that is 0",
            ),
            "logarithm of a softmax": (
                """
            total = 0.0
            for row, grades in zip(scores, relevance):
                for i in grades.nonzero()[:, 0]:
                    faces = torch.cat([row[i, None], row[grades == 0] + margin])
                    chance = torch.softmax(faces, dim=0)[0]
                    total = total - grades[i] / grades.sum() * torch.log(chance)
            return total / len(scores)
            """,
                "a probability that is 0",
            ),
            "the whole mass minus the positives": (
                """
            top = scores.max(1, keepdim=True).values
            mass = (scores - top).exp()
            left = mass.sum(1, keepdim=True) - (mass * (relevance > 0)).sum(1, keepdim=True)
            log_u = left.clamp(min=1e-30).log() + top
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u + margin - scores)).sum(1).mean()
            """,
                "Nothing is left of it here but rounding",
            ),
            "a mass relative to the highest score": (
                """
            top = scores.max(1, keepdim=True).values
            u = ((scores - top).exp() * (relevance == 0)).sum(1, keepdim=True)
            log_u = u.clamp(min=1e-30).log() + top
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u + margin - scores)).sum(1).mean()
            """,
                "Is U taken relative to a score outside of it?",
            ),
            "an infinite branch that is not taken": (
                """
            own = relevance > 0
            log_u = scores.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            x = log_u + margin - scores
            each = torch.where(x > 300, x, x.exp().log1p())
            return (share * each).sum(1).mean()
            """,
                "NaN or infinity",
            ),
            "relevance as a whole number": (
                """
            own = relevance.long() > 0
            log_u = scores.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            each = F.softplus(log_u + margin - scores).masked_fill(~own, 0)
            return (share * each).sum(1).mean()
            """,
                "Every label of relevance above 0 is a positive",
            ),
            "sum over rows": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u + margin - scores)).sum()
            """,
                "return their mean",
            ),
            "a detached mass": (
                """
            log_u = scores.masked_fill(relevance > 0, -torch.inf).logsumexp(1, keepdim=True)
            share = relevance / relevance.sum(1, keepdim=True)
            return (share * F.softplus(log_u.detach() + margin - scores)).sum(1).mean()
            """,
                "Is a part of it detached?",
            ),
        },
    }
    | TOPK
    | PAIRS
)
