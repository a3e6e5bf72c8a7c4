"""Likely mistakes in exercise 3 of exercises/source/extreme_labels, and their hints."""

from tests.exercises.alternatives_extreme_labels import BISECT

STOP = """            if abs((room * torch.sigmoid(sharpness * (scores + t))).sum() - k) < 1e-12:
                break
"""

HINTS = {
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
        "a search that stops at a millionth": (
            """
            with torch.no_grad():
                middle = math.log(k / (room.sum().item() - k)) / sharpness
                low, high = middle - scores.max(), middle - scores.min()
                while high - low > 1e-6:
                    t = (low + high) / 2
                    few = (room * torch.sigmoid(sharpness * (scores + t))).sum() < k
                    low, high = (t, high) if few else (low, t)
            return torch.sigmoid(sharpness * (scores + t))
            """,
            "the search stopped early",
        ),
        "a number added to the sum of slopes": (
            BISECT
            + """
    a = torch.sigmoid(sharpness * (scores + t))
    pays = (room * a * (1 - a)).detach()
    pays = pays / (pays.sum() + 1e-6)
    return torch.sigmoid(sharpness * (scores + t - pays @ (scores - scores.detach())))
            """,
            "clamp the sum at",
        ),
    },
}
