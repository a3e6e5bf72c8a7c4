"""Likely mistakes in exercises 3 and 4 of exercises/source/mixup, and their hints."""

BINS = """
            order, total = confidence.argsort(stable=True), 0.0
            cuts = zip(*(x[order].tensor_split(bins) for x in (confidence, correct.double())))
            for said, right in cuts:
                acc, conf, n = right.mean(), said.mean(), len(said)
                v = acc * (1 - acc) / (n - 1)
                total += {each}
            return {result}
"""

NEWTON = """
            W, lam, y, rows = classifier, feature_decay, targets, len(targets)
            h = torch.zeros(rows, W.shape[1], dtype=W.dtype)
            def loss(h):
                return lam / 2 * (h * h).sum(1) - (y * (h @ W.T).log_softmax(1)).sum(1)
            for _ in range(100):
                r = (h @ W.T).softmax(1)
                g = (r - y) @ W + lam * h
                m = r @ W
                H = torch.einsum("nk,ka,kb->nab", r, W, W) - m[:, :, None] * m[:, None]
                step = torch.linalg.solve(H + lam * torch.eye(W.shape[1]).to(W), g)
                now, slope, t = loss(h), (step * g).sum(1), torch.ones(rows, 1).to(W)
                for _ in range(60):
                    high = loss(h - t * step) > now - t[:, 0] * slope / 4 + 1e-13 * (1 + now)
                    t[high] /= 2
                h = h - t * step
            return h
"""


def _bins(each="n * ((acc - conf) ** 2 - v)", result="total / len(confidence)", v=None):
    body = BINS.format(each=each, result=result)
    return body.replace("acc * (1 - acc) / (n - 1)", v) if v else body


HINTS = {
    "answer-3": {
        "chance stays": (_bins("n * (acc - conf) ** 2"), "All of the part of chance"),
        "divided by n": (_bins(v="acc * (1 - acc) / n"), "is not p (1 - p)"),
        "added": (_bins("n * ((acc - conf) ** 2 + v)"), "v must be subtracted"),
        "from the confidence": (
            _bins(v="conf * (1 - conf) / n"),
            "may not depend on the confidence",
        ),
        "from the confidence, less one": (
            _bins(v="conf * (1 - conf) / (n - 1)"),
            "may not depend on the confidence",
        ),
        "the variance of one": (_bins(v="acc * (1 - acc)"), "variance of a *mean*"),
        "the unbiased variance of one": (
            _bins(v="acc * (1 - acc) * n / (n - 1)"),
            "variance of a *mean*",
        ),
        "cut off at 0": (
            _bins("n * ((acc - conf) ** 2 - v)", "(total / len(confidence)).clamp(min=0)"),
            "Which v makes this exact?",
        ),
        "a root": (
            _bins(result="(total / len(confidence)).clamp(min=0).sqrt()"),
            "Do not take the root",
        ),
        "not squared": (_bins("n * ((acc - conf).abs() - v)"), "Square the gap"),
        "bins weigh alike": (
            _bins("(acc - conf) ** 2 - v", "total / bins"),
            "Weigh each bin by its number",
        ),
        "flags left behind": (
            _bins()
            .replace("x[order].tensor_split", "x.tensor_split")
            .replace("(confidence, correct.double())", "(confidence[order], correct.double())"),
            "the flags stayed behind",
        ),
        "bins of equal width": (
            """
            total = 0.0
            at = (confidence * bins).long().clamp(max=bins - 1)
            for b in at.unique():
                said, right = confidence[at == b], correct[at == b].double()
                acc, n = right.mean(), len(said)
                total += n * ((acc - said.mean()) ** 2 - acc * (1 - acc) / max(n - 1, 1))
            return total / len(confidence)
            """,
            "These are bins of equal width",
        ),
        "some in no bin": (
            """
            each = len(confidence) // bins
            order = confidence.argsort()[: each * bins]
            said, right = (x[order].view(bins, each) for x in (confidence, correct.double()))
            acc = right.mean(1)
            return ((acc - said.mean(1)) ** 2 - acc * (1 - acc) / (each - 1)).mean()
            """,
            "Some predictions are in no bin",
        ),
        "not sorted": (
            _bins().replace("confidence.argsort(stable=True)", "torch.arange(len(confidence))"),
            "Sort by confidence, then cut",
        ),
        "nothing returned": (_bins(result="None"), "return its result"),
    },
    "answer-4": {
        "the sign": (NEWTON.replace("return h\n", "return -h\n"), "The sign is wrong"),
        "a penalty without half": (
            NEWTON.replace("feature_decay, targets", "2 * feature_decay, targets"),
            "so its slope is decay times h",
        ),
        "half of the slope": (
            NEWTON.replace("feature_decay, targets", "feature_decay / 2, targets"),
            "not half of it",
        ),
        "the loss as a mean over rows": (
            NEWTON.replace("feature_decay, targets", "feature_decay * len(targets), targets"),
            "The loss is a mean over rows",
        ),
        "the penalty as a mean over rows": (
            NEWTON.replace("feature_decay, targets", "feature_decay / len(targets), targets"),
            "The penalty is a mean over rows",
        ),
        "hard labels": (
            NEWTON.replace("feature_decay, targets", "feature_decay, targets.round()").replace(
                "targets.round()", "F.one_hot(targets.argmax(1), targets.shape[1]).to(targets)"
            ),
            "right for hard labels",
        ),
        "the squared error": (
            """
            from l2s.geometry.mixup import squared_error_features
            return squared_error_features(targets, classifier, feature_decay=feature_decay)
            """,
            "That solves the squared error",
        ),
        "the formula of a frame": (
            """
            classes, dim = classifier.shape
            nu = classes / (classes - 1) * classifier.square().sum(1).mean() / feature_decay
            s = optimal_scores(targets, strength=float(nu))
            return s @ classifier / (float(nu) * feature_decay)
            """,
            "Your search has not arrived",
        ),
        "gradient descent": (
            """
            h, size = torch.zeros(len(targets), classifier.shape[1]).double(), 0.05
            for _ in range(2000):
                r = (h @ classifier.T).softmax(1)
                h = h - size * ((r - targets) @ classifier + feature_decay * h)
            return h
            """,
            "Your search has not arrived",
        ),
        "full steps": (
            """
            h, eye = torch.zeros(len(targets), classifier.shape[1]).double(), torch.eye(
                classifier.shape[1]).double()
            for _ in range(50):
                r = (h @ classifier.T).softmax(1)
                g, m = (r - targets) @ classifier + feature_decay * h, r @ classifier
                H = torch.einsum("nk,ka,kb->nab", r, classifier, classifier)
                H = H - m[:, :, None] * m[:, None] + feature_decay * eye
                h = h - torch.linalg.solve(H, g)
            return h
            """,
            "Your search has not arrived",
        ),
        "one size for all rows, and no room for rounding": (
            NEWTON.replace("t[high] /= 2", "t = t / 2 if high.any() else t").replace(
                " + 1e-13 * (1 + now)", " - 1e-9"
            ),
            "Your search has not arrived",
        ),
        "exponentials that overflow": (
            """
            h, eye = torch.zeros(len(targets), classifier.shape[1]).double(), torch.eye(
                classifier.shape[1]).double()
            def loss(h):
                e = (h @ classifier.T).exp()
                fit = (targets * (e / e.sum(1, keepdim=True)).log()).sum(1)
                return feature_decay / 2 * (h * h).sum(1) - fit
            for _ in range(100):
                e = (h @ classifier.T).exp()
                r = e / e.sum(1, keepdim=True)
                g, m = (r - targets) @ classifier + feature_decay * h, r @ classifier
                H = torch.einsum("nk,ka,kb->nab", r, classifier, classifier)
                H = H - m[:, :, None] * m[:, None] + feature_decay * eye
                step, now = torch.linalg.solve(H, g), loss(h)
                t = torch.ones(len(h), 1).double()
                for _ in range(40):
                    t[loss(h - t * step) > now + 1e-13 * (1 + now)] /= 2
                h = h - t * step
            return h
            """,
            "an exponential overflows",
        ),
        "a feature for each class": (
            NEWTON.replace("return h\n", "return h @ W.T\n"),
            "One feature for each target",
        ),
    },
}

ALTERNATIVES = {
    "answer-3": {
        "numpy": """
            import numpy as np
            order = np.argsort(confidence.numpy(), kind="stable")
            parts = np.array_split(confidence.numpy()[order], bins)
            flags = np.array_split(correct.numpy()[order], bins)
            each = [len(f) * (np.mean(f) - np.mean(p)) ** 2 - np.var(f, ddof=1)
                    for p, f in zip(parts, flags)]
            return sum(each) / len(order)
            """,
    },
    "answer-4": {
        "einsum": NEWTON,
        "row by row": """
            rows, eye = [], feature_decay * torch.eye(classifier.shape[1], dtype=torch.float64)
            for y in targets:
                h = torch.zeros(classifier.shape[1], dtype=torch.float64)
                loss = lambda h: feature_decay / 2 * h @ h - y @ (classifier @ h).log_softmax(0)
                for _ in range(60):
                    r = (classifier @ h).softmax(0)
                    g = (r - y) @ classifier + feature_decay * h
                    H = classifier.T @ (r.diag() - r.outer(r)) @ classifier + eye
                    step, t = torch.linalg.solve(H, g), 1.0
                    if g.abs().max() < 1e-7 * feature_decay:
                        break
                    while loss(h - t * step) > loss(h) * (1 + 1e-13) + 1e-14 and t > 1e-6:
                        t /= 2
                    h = h - t * step
                rows.append(h)
            return torch.stack(rows)
            """,
    },
}
