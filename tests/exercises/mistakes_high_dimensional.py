"""The likely mistakes of exercises/source/high_dimensional, and the hint that each must get.

Each is the body of the answer's function; ``HINTS[cell][name] = (body, words of the hint)``.
``ALTERNATIVES[cell][name]`` is a body that is right in another way than the solution.
"""

END = "fitted = noise / (1 - ratio)\nfrozen = (1 - ratio) * signal\n"
LEFT = """
v, p = mp_nodes(ratio)
x = time[:, None] * v
d = torch.where(x > 0, -torch.expm1(-x) / x, 1.0)
frozen = max(0.0, 1 - ratio)
"""
MODES = """
n = inputs.shape[1]
lam = torch.linalg.eigvalsh(inputs.T @ inputs).clamp(min=0)
lam = torch.where(lam > 1e-12, lam, 0.0)
d = torch.exp(-lam * time)
noisy = torch.where(lam > 0, noise * (1 - d) ** 2 / lam.clamp(min=1e-12), 0.0)
clean = (signal + init) * d**2
"""
FIRST_MODES = MODES.replace(
    "torch.linalg.eigvalsh(inputs.T @ inputs).clamp(min=0)", "torch.linalg.svdvals(inputs) ** 2"
)
DECAY = """
n = inputs.shape[1]
lam = torch.linalg.svdvals(inputs) ** 2
frozen = n - len(lam)
rate = (lam + penalty).clamp(min=1e-30)
d = torch.exp(-rate * time)
s = (1 - d) / rate
"""

HINTS = {
    "answer-1": {
        "a start at zero": (END + "return fitted + frozen", "The old solution has no effect"),
        "a start of its own": (END + "return fitted + 2 * frozen", "independent of the teacher"),
        "the old solution as it is": (
            END + "return fitted + frozen * (2 - 2 * correlation)",
            "Which multiple of it is best?",
        ),
        "the correlation is not squared": (
            END + "return fitted + frozen * (1 - correlation)",
            "minimise the parabola in c",
        ),
        "sign of the product": (
            END + "return fitted + frozen * (1 + correlation**2)",
            "has the wrong sign",
        ),
        "all directions pay": (
            END + "return fitted + signal * (1 - correlation**2)",
            "only the frozen ones do",
        ),
        "the share with data": (
            END + "return fitted + ratio * signal * (1 - correlation**2)",
            "those with data, or those without?",
        ),
        "without the noise of the targets": (
            END + "return fitted - noise + frozen * (1 - correlation**2)",
            "Errors include the noise",
        ),
        "nothing is frozen": (END + "return fitted", "Where is what the frozen directions cost?"),
        "no negative factor": (
            END + "return fitted + frozen * (1 - max(0, correlation) ** 2)",
            "May c be negative?",
        ),
        "one formula for all ratios": (
            END + "return abs(fitted) + frozen * (1 - correlation**2)",
            "No direction is frozen now",
        ),
        "the threshold is forgotten": (
            """
            if ratio > 1:
                return noise * ratio / (ratio - 1)
            return noise / (1 - ratio) + (1 - ratio) * signal * (1 - correlation**2)
            """,
            "stopped with ZeroDivisionError",
        ),
    },
    "answer-2": {
        "an average of errors": (
            """
            from l2s.generalization.high_dimensional import generalization_error
            shares = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
            every = time[:, None] * shares
            errors = generalization_error(
                every.reshape(-1), ratio, signal=signal, noise=noise, init=init
            )
            return errors.reshape(every.shape).mean(1)
            """,
            "You average errors",
        ),
        "no average": (
            """
            return generalization_error(time, ratio, signal=signal, noise=noise, init=init)
            """,
            "That is the error of the path's end",
        ),
        "directions without data are missing": (
            f"""{LEFT}
return noise + (signal + init) * (d**2 @ p) + noise * (((1 - d) ** 2 / v) @ p)
            """,
            "Directions without data are missing",
        ),
        "without the noise of the targets": (
            f"""{LEFT}
return (signal + init) * (d**2 @ p + frozen) + noise * (((1 - d) ** 2 / v) @ p)
            """,
            "Errors include the noise",
        ),
        "no start": (
            f"""{LEFT}
return noise + signal * (d**2 @ p + frozen) + noise * (((1 - d) ** 2 / v) @ p)
            """,
            "Where is the variance of the start?",
        ),
        "noise of all modes alike": (
            f"""{LEFT}
return noise + (signal + init) * (d**2 @ p + frozen) + noise * ((1 - d) ** 2 @ p)
            """,
            "the noise counts with 1 / lambda",
        ),
        "a negative share": (
            f"""{LEFT.replace("max(0.0, 1 - ratio)", "1 - ratio")}
return noise + (signal + init) * (d**2 @ p + frozen) + noise * (((1 - d) ** 2 / v) @ p)
            """,
            "Is the share of frozen directions negative",
        ),
        "0/0 at the start": (
            f"""{LEFT}
d = (1 - torch.exp(-x)) / x
return noise + (signal + init) * (d**2 @ p + frozen) + noise * (((1 - d) ** 2 / v) @ p)
            """,
            "0/0 has a limit",
        ),
    },
    "answer-3": {
        "one number": (
            f"{MODES}\nreturn noise + (clean + noisy).mean()",
            "how many results come",
        ),
        "without the noise of the targets": (
            f"{MODES}\nv = clean + noisy\nreturn v.mean(), (2 * (v**2).sum()).sqrt() / n",
            "Errors include the noise",
        ),
        "directions without data are missing": (
            f"{FIRST_MODES}\nv = clean + noisy\n"
            "return noise + v.sum() / n, (2 * (v**2).sum()).sqrt() / n",
            "missing from the mean",
        ),
        "a spread without them": (
            f"{FIRST_MODES}\nv = clean + noisy\n"
            "mean = noise + (v.sum() + (n - len(v)) * (signal + init)) / n\n"
            "return mean, (2 * (v**2).sum()).sqrt() / n",
            "their modes vary as well",
        ),
        "the variance": (
            f"{MODES}\nv = clean + noisy\nreturn noise + v.mean(), 2 * (v**2).sum() / n**2",
            "That is the variance",
        ),
        "no fourth moment": (
            f"{MODES}\nv = clean + noisy\nreturn noise + v.mean(), (v**2).sum().sqrt() / n",
            "use the fourth moment",
        ),
        "a sum of modes": (
            f"{MODES}\nv = clean + noisy\nreturn noise + v.mean(), (2 * (v**2).sum() / n).sqrt()",
            "1 / N twice",
        ),
        "signal and noise apart": (
            f"{MODES}\nsquares = clean**2 + noisy**2\n"
            "return noise + (clean + noisy).mean(), (2 * squares.sum()).sqrt() / n",
            "one Gaussian number",
        ),
        "the spread of modes": (
            f"{MODES}\nv = clean + noisy\nreturn noise + v.mean(), v.std()",
            "how modes differ from each other",
        ),
        "0/0": (
            f"{MODES}\nv = clean + noise * (1 - d) ** 2 / lam\n"
            "return noise + v.mean(), (2 * (v**2).sum()).sqrt() / n",
            "0 is divided",
        ),
    },
    "answer-4": {
        "no decay": (
            """
            known = {"signal": signal, "noise": noise, "init": init}
            return finite_generalization_error(inputs, time, **known) + 0 * penalty
            """,
            "the penalty has no effect",
        ),
        "the end of training": (
            f"""{DECAY}
missed = ((penalty / rate) ** 2).sum() + frozen
return noise + (signal * missed + noise * (lam / rate**2).sum()) / n
            """,
            "the time has no effect",
        ),
        "decay towards the teacher": (
            f"""{DECAY}
left = (d**2).sum() + frozen * torch.exp(-2 * penalty * time)
return noise + ((signal + init) * left + noise * (lam * s**2).sum()) / n
            """,
            "Decay pulls to 0, not to the teacher",
        ),
        "a start that settles": (
            f"""{DECAY}
left = ((1 - lam * s) ** 2).sum() + frozen
return noise + ((signal + init) * left + noise * (lam * s**2).sum()) / n
            """,
            "The start does not settle",
        ),
        "frozen for ever": (
            f"""{DECAY}
missed = ((1 - lam * s) ** 2).sum() + frozen
return noise + (signal * missed + init * ((d**2).sum() + frozen) + noise * (lam * s**2).sum()) / n
            """,
            "do not stay as they are",
        ),
        "directions without data are missing": (
            f"""{DECAY}
missed = ((1 - lam * s) ** 2).sum()
return noise + (signal * missed + init * (d**2).sum() + noise * (lam * s**2).sum()) / n
            """,
            "Directions without data are missing",
        ),
        "the teacher is found without data": (
            f"""{DECAY}
thawed = frozen * torch.exp(-2 * penalty * time)
missed, start = ((1 - lam * s) ** 2).sum() + thawed, (d**2).sum() + thawed
return noise + (signal * missed + init * start + noise * (lam * s**2).sum()) / n
            """,
            "the teacher there is never found",
        ),
        "a number instead of a tensor": (
            f"""{DECAY.replace("penalty", "penalty.item()")}
missed = ((1 - lam * s) ** 2).sum() + frozen
start = (d**2).sum() + frozen * torch.exp(torch.tensor(-2 * penalty.item() * time))
return noise + (signal * missed + init * start + noise * (lam * s**2).sum()) / n
            """,
            "no .item(), no float()",
        ),
        "0/0 without decay": (
            f"""{DECAY.replace(".clamp(min=1e-30)", "")}
missed = ((1 - lam * s) ** 2).sum() + frozen
start = (d**2).sum() + frozen * torch.exp(-2 * penalty * time)
return noise + (signal * missed + init * start + noise * (lam * s**2).sum()) / n
            """,
            "at gamma = 0",
        ),
        "a table of all weights": (
            """
            n = inputs.shape[1]
            lam = torch.linalg.eigvalsh(inputs.T @ inputs).clamp(min=0)
            rate = (lam + penalty).clamp(min=1e-30)
            d = torch.exp(-(lam + penalty) * time)
            s = -torch.expm1(-rate * time) / rate
            modes = signal * (1 - lam * s) ** 2 + init * d**2 + noise * lam * s**2
            return noise + modes.sum() / n
            """,
            "A table of N x N exists",
        ),
    },
}

ALTERNATIVES = {
    "answer-1": {
        "one mode of each kind": """
            if ratio == 1:
                return math.inf
            share = min(1, ratio)
            fitted = share / abs(ratio - 1)
            apart = (1 - correlation) * (1 + correlation) * signal
            return noise * (1 + fitted) + (1 - share) * apart
            """,
    },
    "answer-2": {
        "the library's density": """
            low, high = mp_edges(ratio)
            angle = (torch.arange(20_000, dtype=torch.float64) + 0.5) * math.pi / 20_000
            values = (low + high) / 2 - (high - low) / 2 * angle.cos()
            weights = mp_density(values, ratio) * angle.sin() * (high - low) / 2 * math.pi / 20_000
            x = (time[:, None] * values).clamp(min=1e-12)
            left = -torch.expm1(-x) / x
            whole = 1 - left**2
            start = (signal + init) * (1 - whole @ weights)
            return noise + start + noise * (((1 - left) ** 2 / values) @ weights)
            """,
    },
    "answer-3": {
        "by matrices": """
            n = inputs.shape[1]
            values, modes = torch.linalg.eigh(inputs.T @ inputs)
            gone = 1 - torch.exp(-values * time)
            safe = torch.where(values > 1e-10, values, torch.inf)
            v = (signal + init) * (1 - gone) ** 2 + noise * gone**2 / safe
            whole = (modes * v) @ modes.T
            return noise + whole.trace() / n, math.sqrt(2) * torch.linalg.matrix_norm(whole) / n
            """,
    },
    "answer-4": {
        "from the samples' side": """
            n = inputs.shape[1]
            values = torch.linalg.eigvalsh(inputs @ inputs.T).clamp(min=0)
            frozen = n - len(values)
            rate = torch.where(values + penalty > 0, values + penalty, 1.0)
            fades = torch.exp(-(values + penalty) * time)
            settled = torch.where(values + penalty > 0, -torch.expm1(-rate * time) / rate, time)
            missed = ((1 - values * settled) ** 2).sum() + frozen
            kept = (fades**2).sum() + frozen * (-2 * penalty * time).exp()
            fitted = (values * settled**2).sum()
            return noise + (signal * missed + init * kept + noise * fitted) / n
            """,
    },
}
