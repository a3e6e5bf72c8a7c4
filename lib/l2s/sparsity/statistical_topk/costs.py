"""Multiplications and additions of a token, and the weights of a layer."""

from l2s import checks


@checks.typed
def ffn_flops(
    dim: int, width: int, *, part: int | None = None, active: float | None = None
) -> float:
    r"""Return the floating-point operations of a token in a feed-forward layer.

    A dense gated layer has three products, :math:`6\,d\,w`. A Spark layer predicts from r
    dimensions with all w neurons, and does the rest for the active ones alone:

    .. math:: 2\,r\,w + 2\,a\,(d - r) + 2\,a\,d

    Args:
        dim: d, the dimension of a token.
        width: w, the number of neurons.
        part: r, the dimensions of the predictor; None for the dense gated layer.
        active: a, how many neurons are active, 0 to w; needed with ``part``.

    Returns:
        The number; a multiplication and an addition count as two.

    Raises:
        ValueError: Sizes below 1, r outside 1 to d - 1, a outside 0 to w, one of the two alone.

    Source: counted by hand; You et al. (2025), arXiv:2506.06644, count alike.

    >>> ffn_flops(4, 10)  # dense: 6 · 4 · 10
    240.0
    >>> ffn_flops(4, 10, part=2, active=1)  # 2 · 2 · 10 + 2 · 2 + 2 · 4
    52.0
    """
    checks.at_least("dim", dim, 1, "Pass the dimension of a token.")
    checks.at_least("width", width, 1, "Pass the number of neurons.")
    if part is None or active is None:
        _check_both("part", part, "active", active)
        return 6.0 * dim * width
    checks.in_range("part", part, 1, dim - 1)
    checks.in_range("active", active, 0, width)
    return _split(dim, width, part, active)


@checks.typed
def attention_flops(
    context: int, head_dim: int, *, part: int | None = None, chosen: float | None = None
) -> float:
    r"""Return the floating-point operations of a query in one head, projections not counted.

    Attention over all n keys has two products, :math:`4\,n\,d_h`. Spark attention predicts from r
    dimensions for all keys, and does the rest for the chosen ones alone:

    .. math:: 2\,n\,r + 2\,c\,(d_h - r) + 2\,c\,d_h

    Args:
        context: n, the keys that the query sees.
        head_dim: d_h, the dimension of the head.
        part: r, the dimensions of the predictor; None for attention over all keys.
        chosen: c, how many keys are chosen, 0 to n; needed with ``part``.

    Returns:
        The number; a multiplication and an addition count as two.

    Raises:
        ValueError: Sizes below 1, r outside 1 to d_h - 1, c outside 0 to n, one of the two alone.

    Source: counted by hand; You et al. (2025), arXiv:2506.06644, count alike.

    >>> attention_flops(100, 8), attention_flops(100, 8, part=4, chosen=10)
    (3200.0, 1040.0)
    """
    checks.at_least("context", context, 1, "Pass how many keys the query sees.")
    checks.at_least("head_dim", head_dim, 1, "Pass the dimension of a head.")
    if part is None or chosen is None:
        _check_both("part", part, "chosen", chosen)
        return 4.0 * context * head_dim
    checks.in_range("part", part, 1, head_dim - 1)
    checks.in_range("chosen", chosen, 0, context)
    return _split(head_dim, context, part, chosen)


def _split(dim: int, rows: int, part: int, used: float) -> float:
    """Predict from some dimensions of all rows; read the others, and a value, of those used."""
    return 2.0 * part * rows + 2.0 * used * ((dim - part) + dim)


def _check_both(first: str, one: object, second: str, other: object) -> None:
    if (one is None) != (other is None):
        raise ValueError(f"Of `{first}` and `{second}` one is None. Pass both, or none of them.")
