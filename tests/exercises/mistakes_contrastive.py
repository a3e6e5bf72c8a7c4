"""The likely mistakes of exercises/source/contrastive, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
"""

HINTS = {
    "answer-1": {
        "sign": (
            """
            weights = [math.exp(c / temperature) for c in negatives]
            total = math.exp(cosine / temperature) + sum(weights)
            mean = sum(w * c for w, c in zip(weights, negatives)) / sum(weights)
            return -sum(weights) / total * (cosine - mean) / temperature**2
            """,
            "the sign is not",
        ),
        "one factor of the temperature": (
            """
            weights = [math.exp(c / temperature) for c in negatives]
            total = math.exp(cosine / temperature) + sum(weights)
            mean = sum(w * c for w, c in zip(weights, negatives)) / sum(weights)
            return sum(weights) / total * (cosine - mean) / temperature
            """,
            "A factor 1/τ is missing",
        ),
        "decoupled": (
            """
            weights = [math.exp(c / temperature) for c in negatives]
            mean = sum(w * c for w, c in zip(weights, negatives)) / sum(weights)
            return (cosine - mean) / temperature**2
            """,
            "the slope of the decoupled loss",
        ),
        "plain mean of the negatives": (
            """
            mass = sum(math.exp(c / temperature) for c in negatives)
            q = mass / (math.exp(cosine / temperature) + mass)
            return q * (cosine - sum(negatives) / len(negatives)) / temperature**2
            """,
            "close ones weigh more",
        ),
        "overflow": (
            """
            mass = [math.exp(c / temperature) for c in negatives]
            own = math.exp(cosine / temperature)
            ahead = sum(w * (cosine - c) for w, c in zip(mass, negatives))
            return ahead / (own + sum(mass)) / temperature**2
            """,
            "Divide by the largest exponential",
        ),
        "divided by a mass of zero": (
            """
            top = max(cosine, *negatives)
            mass = [math.exp((c - top) / temperature) for c in negatives]
            q = sum(mass) / (math.exp((cosine - top) / temperature) + sum(mass))
            mean = sum(w * c for w, c in zip(mass, negatives)) / sum(mass)
            return q * (cosine - mean) / temperature**2
            """,
            "never divide by U alone",
        ),
    },
    "answer-2": {
        "sign": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            own = s.masked_fill(~is_positive, -torch.inf).logsumexp(1)
            return (own - s.logsumexp(1)).mean()
            """,
            "never negative here: sign?",
        ),
        "mean outside the logarithm": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            logs = F.log_softmax(s, dim=1)
            return -((logs * is_positive).sum(1) / is_positive.sum(1)).mean()
            """,
            "outside the logarithm",
        ),
        "decoupled": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            own = s.masked_fill(~is_positive, -torch.inf).logsumexp(1)
            return (s.masked_fill(is_positive, -torch.inf).logsumexp(1) - own).mean()
            """,
            "a decoupled loss",
        ),
        "scores times the mask": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            return (s.logsumexp(1) - (s * is_positive).logsumexp(1)).mean()
            """,
            "0 is not absent",
        ),
        "no temperature": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T
            return (s.logsumexp(1) - s.masked_fill(~is_positive, -torch.inf).logsumexp(1)).mean()
            """,
            "Where is the temperature?",
        ),
        "not normalised": (
            """
            s = query @ keys.T / temperature
            return (s.logsumexp(1) - s.masked_fill(~is_positive, -torch.inf).logsumexp(1)).mean()
            """,
            "does not depend on the length",
        ),
        "overflow": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            masses = s.exp()
            return -torch.log((masses * is_positive).sum(1) / masses.sum(1)).mean()
            """,
            "an exponential overflows",
        ),
        "log of a softmax": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            return -(s.softmax(1) * is_positive).sum(1).log().mean()
            """,
            "A softmax underflows to 0",
        ),
        "mean inside the logarithm": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            own = s.masked_fill(~is_positive, -torch.inf).logsumexp(1)
            return (s.logsumexp(1) - own + is_positive.sum(1).log()).mean()
            """,
            "You average over the positives",
        ),
        "sum over queries": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T / temperature
            return (s.logsumexp(1) - s.masked_fill(~is_positive, -torch.inf).logsumexp(1)).sum()
            """,
            "the sum over the queries; return their mean",
        ),
        "nothing returned": ("s = query @ keys.T", "return its result"),
    },
    "answer-3": {
        "weights sum to one": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax((beta * s).masked_fill(off, -torch.inf), dim=1).detach()
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "Your weights of a query sum to 1",
        ),
        "sign of beta": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax((-beta * s).masked_fill(off, -torch.inf), dim=1).detach()
            w = w * (len(s) - 1)
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "sign of beta?",
        ),
        "cosine instead of score": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            raised = (beta * temperature * s).masked_fill(off, -torch.inf)
            w = torch.softmax(raised, dim=1).detach() * (len(s) - 1)
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "the cosine divided by the temperature",
        ),
        "the partner has a weight": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax(beta * s, dim=1).detach() * len(s)
            mass = (w * s.exp()).masked_fill(off, 0).sum(1)
            return F.softplus(mass.log() - s.diagonal()).mean()
            """,
            "The partner has a weight too",
        ),
        "no partner in the denominator": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax((beta * s).masked_fill(off, -torch.inf), dim=1).detach()
            w = w * (len(s) - 1)
            return ((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "The partner is missing from the denominator",
        ),
        "no weights": (
            "return info_nce(query, key, temperature=temperature)",
            "the weights have no effect",
        ),
        "zero times infinity": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax(beta * s.masked_fill(off, -torch.inf), dim=1).detach()
            w = w * (len(s) - 1)
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "look for 0 times infinity",
        ),
        "weights that learn": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.log_softmax((beta * s).masked_fill(off, -torch.inf), dim=1)
            mass = (w.masked_fill(off, -1e4) + s).logsumexp(1) + math.log(len(s) - 1)
            return F.softplus(mass - s.diagonal()).mean()
            """,
            "The weights are constants: detach them",
        ),
        "weights that learn, by softmax": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax((beta * s).masked_fill(off, -torch.inf), dim=1) * (len(s) - 1)
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "A gradient flows through your weights",
        ),
        "softmax over the queries": (
            """
            s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
            off = torch.eye(len(s), dtype=torch.bool)
            w = torch.softmax((beta * s).masked_fill(off, -torch.inf), dim=0).detach()
            w = w * (len(s) - 1)
            return F.softplus((w * s.exp()).sum(1).log() - s.diagonal()).mean()
            """,
            "query by itself: which axis?",
        ),
    },
    "answer-4": {
        "not divided by beta": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x).mean(), torch.sigmoid(beta * x).detach()
            """,
            "Divide the softplus by beta",
        ),
        "sign of the margin": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") + margin
            return F.softplus(beta * x).mean() / beta, torch.sigmoid(beta * x).detach()
            """,
            "The margin has the wrong sign",
        ),
        "beta only outside": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(x).mean() / beta, torch.sigmoid(x).detach()
            """,
            "beta also stands inside the softplus",
        ),
        "divided by beta twice": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(x, beta).mean() / beta, torch.sigmoid(beta * x).detach()
            """,
            "divides by beta already",
        ),
        "beta twice": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x, beta).mean(), torch.sigmoid(beta * x).detach()
            """,
            "beta is applied twice",
        ),
        "the default temperature": (
            """
            x = dcl(view_a, view_b, reduction="none") - margin
            return F.softplus(x, beta).mean(), torch.sigmoid(beta * x).detach()
            """,
            "unless you pass yours",
        ),
        "a factor beta too many": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x).mean() / beta, beta * torch.sigmoid(beta * x).detach()
            """,
            "A factor beta too many",
        ),
        "the coupling of InfoNCE": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            q = coupling(view_a, view_b, temperature=temperature)
            return F.softplus(beta * x).mean() / beta, q
            """,
            "This is the coupling of InfoNCE",
        ),
        "softplus of the mean": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x.mean()) / beta, torch.sigmoid(beta * x).detach()
            """,
            "softplus to each anchor, then take the mean",
        ),
        "overflow for a large beta": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            loss = torch.log1p(torch.exp(beta * x)).mean() / beta
            return loss, torch.sigmoid(beta * x).detach()
            """,
            "an exponential overflows",
        ),
        "couplings that carry a gradient": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x).mean() / beta, torch.sigmoid(beta * x)
            """,
            "detach them",
        ),
        "one result": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            return F.softplus(beta * x).mean() / beta
            """,
            "return both",
        ),
        "a loss without a gradient": (
            """
            x = dcl(view_a, view_b, temperature=temperature, reduction="none") - margin
            q = torch.sigmoid(beta * x).detach()
            return (F.softplus(beta * x).mean() / beta).item(), q
            """,
            "no .item(), no .detach()",
        ),
    },
    "answer-5": {
        "the whole matrix": (
            """
            s = query @ key.T / temperature - log_frequency
            return F.cross_entropy(s, torch.arange(len(query)))
            """,
            "The whole matrix exists at once even without a gradient",
        ),
        "a loop whose graph keeps all": (
            """
            total = 0.0
            for rows in torch.arange(len(query)).split(block_size):
                s = query[rows] @ key.T / temperature - log_frequency
                total = total + F.cross_entropy(s, rows, reduction="sum")
            return total / len(query)
            """,
            "it is the graph that keeps every block",
        ),
        "a mean of means": (
            """
            means = []
            for rows in torch.arange(len(query)).split(block_size):
                s = query[rows] @ key.T / temperature - log_frequency
                means.append(F.cross_entropy(s, rows))
            return torch.stack(means).mean()
            """,
            "the last block is smaller",
        ),
        "the last block is lost": (
            """
            total = 0.0
            for at in range(0, len(query) - block_size + 1, block_size):
                rows = torch.arange(at, at + block_size)
                s = query[rows] @ key.T / temperature - log_frequency
                total = total + F.cross_entropy(s, rows, reduction="sum")
            return total / len(query)
            """,
            "the last block is smaller",
        ),
        "sign of the log-frequency": (
            """
            s = query @ key.T / temperature + log_frequency
            return F.cross_entropy(s, torch.arange(len(query)))
            """,
            "The log-frequency has the wrong sign",
        ),
        "no gradient": (
            """
            with torch.no_grad():
                s = query @ key.T / temperature - log_frequency
                return F.cross_entropy(s, torch.arange(len(query)))
            """,
            "no no_grad",
        ),
        "a detached key": (
            """
            s = query @ key.detach().T / temperature - log_frequency
            return F.cross_entropy(s, torch.arange(len(query)))
            """,
            "no gradient of your loss reaches 1",
        ),
    },
}
