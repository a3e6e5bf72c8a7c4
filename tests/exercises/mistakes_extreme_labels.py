"""The likely mistakes of exercises/source/extreme_labels, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
Exercises 4 and 5, on pairs, stand in ``mistakes_extreme_pairs``.
"""

from tests.exercises.alternatives_extreme_labels import BISECT
from tests.exercises.mistakes_extreme_pairs import HINTS as PAIRS

STOP = """            if abs((room * torch.sigmoid(sharpness * (scores + t))).sum() - k) < 1e-12:
                break
"""

HINTS = {
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
    "answer-3": {
        "entries sum to k": (
            """
            low, high = -1000.0, 1000.0
            for _ in range(100):
                t = (low + high) / 2
                few = torch.sigmoid(sharpness * (scores + t)).sum() < k
                low, high = (t, high) if few else (low, t)
            return torch.sigmoid(sharpness * (scores + t))
            """,
            "it is the room they take that sums to k",
        ),
        "room instead of the mask": (
            f"{BISECT}\n    return room * torch.sigmoid(sharpness * (scores + t))",
            "return the mask",
        ),
        "room inside the sigmoid": (
            """
            low, high = -100.0, 100.0
            for _ in range(100):
                t = (low + high) / 2
                few = (room * torch.sigmoid(sharpness * (room * scores + t))).sum() < k
                low, high = (t, high) if few else (low, t)
            return torch.sigmoid(sharpness * (room * scores + t))
            """,
            "does not multiply the score",
        ),
        "divided by the sharpness": (
            """
            low, high = -100.0, 100.0
            for _ in range(100):
                t = (low + high) / 2
                few = (room * torch.sigmoid((scores + t) / sharpness)).sum() < k
                low, high = (t, high) if few else (low, t)
            return torch.sigmoid((scores + t) / sharpness)
            """,
            "does not divide them",
        ),
        "eight steps": (
            BISECT.replace("80", "8") + "    return torch.sigmoid(sharpness * (scores + t))",
            "the search stopped early",
        ),
        "bracket of the chapter": (
            BISECT.replace("room.sum().item() - k", "len(room) - k")
            + "    return torch.sigmoid(sharpness * (scores + t))",
            "What is k/n now?",
        ),
        "a margin around the scores": (
            BISECT.replace(
                "middle - scores.max(), middle - scores.min()",
                "-scores.max() - 10 / sharpness, -scores.min() + 10 / sharpness",
            )
            + """
    a = torch.sigmoid(sharpness * (scores + t))
    pays = room * a * (1 - a)
    pays = pays / pays.sum().clamp(min=1e-300)
    return torch.sigmoid(sharpness * (scores + t - pays @ (scores - scores.detach())))
            """,
            "Your bracket does not hold the root",
        ),
        "t does not move": (
            f"{BISECT}\n    return torch.sigmoid(sharpness * (scores + t))",
            "t depends on the scores",
        ),
        "no gradient": (
            f"{BISECT}\n    return torch.sigmoid(sharpness * (scores + t)).detach()",
            "Hand it to torch yourself",
        ),
        "transposed": (
            f"""{BISECT}
    class Mask(torch.autograd.Function):
        @staticmethod
        def forward(ctx, s):
            return torch.sigmoid(sharpness * (s + t))

        @staticmethod
        def backward(ctx, g):
            a = torch.sigmoid(sharpness * (scores.detach() + t))
            v = sharpness * a * (1 - a)
            return v * (g - (g * room * v).sum() / (room * v).sum())

    return Mask.apply(scores)
            """,
            "Your Jacobian is transposed",
        ),
        "the chapter's Jacobian": (
            f"""{BISECT}
    a = torch.sigmoid(sharpness * (scores + t))
    pays = (a * (1 - a) / (a * (1 - a)).sum()).detach()
    return torch.sigmoid(sharpness * (scores + t - pays @ (scores - scores.detach())))
            """,
            "That is the chapter's Jacobian",
        ),
        "steps of the search in the graph": (
            """
            middle = math.log(k / (room.sum().item() - k)) / sharpness
            low, high = middle - scores.max(), middle - scores.min()
            for _ in range(80):
                t = (low + high) / 2
                few = (room * torch.sigmoid(sharpness * (scores + t))).sum() < k
                low, high = (t, high) if few else (low, t)
            return torch.sigmoid(sharpness * (scores + t))
            """,
            "Steps of a search have no useful gradient",
        ),
        "Newton steps in the graph": (
            f"""{BISECT}
    for _ in range(12):
        a = torch.sigmoid(sharpness * (scores + t))
        v = sharpness * room * a * (1 - a)
        t = t + (k - room @ a) / v.sum()
    return torch.sigmoid(sharpness * (scores + t))
            """,
            "The graph keeps every step of the search",
        ),
        "zero divided by zero": (
            BISECT.replace("            low, high = (t,", STOP + "            low, high = (t,")
            + """
    a = torch.sigmoid(sharpness * (scores + t))
    pays = (room * a * (1 - a)).detach()
    pays = pays / pays.sum()
    return torch.sigmoid(sharpness * (scores + t - pays @ (scores - scores.detach())))
            """,
            "Is it 0/0, because nobody is undecided?",
        ),
    },
} | PAIRS
