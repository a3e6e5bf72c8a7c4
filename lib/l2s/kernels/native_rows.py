"""Products with some rows of a matrix that lie anywhere in memory, for the numba kernels.

Four rows are read at a time: one stream waits for the memory, four share the wait. On rows of 128
numbers out of 32 MB that halves the time.
"""

from typing import Any

from l2s.kernels.native import element, loop


@element
def dots(rows: Any, places: Any, start: int, vector: Any, out: Any) -> None:
    """Set out[n] to the product of a vector with row places[n], from column ``start`` on."""
    n = 0
    while n + 4 <= places.size:
        _four_dots(rows, places[n : n + 4], start, vector, out[n : n + 4])
        n += 4
    while n < places.size:
        out[n] = dot(rows[places[n], start : start + vector.size], vector)
        n += 1


@element
def add_rows(rows: Any, places: Any, weights: Any, out: Any) -> None:
    """Add to ``out`` the rows at ``places``, each times its weight."""
    n = 0
    while n + 4 <= places.size:
        _add_four(rows, places[n : n + 4], weights[n : n + 4], out)
        n += 4
    while n < places.size:
        add_row(rows[places[n]], weights[n], out)
        n += 1


@loop
def dot(left: Any, right: Any) -> Any:
    """The product of two vectors."""
    total = left.dtype.type(0)
    for j in range(left.size):
        total += left[j] * right[j]
    return total


@element
def add_row(row: Any, weight: Any, out: Any) -> None:
    """Add to ``out`` a row times its weight."""
    for j in range(out.size):
        out[j] += weight * row[j]


@loop
def _four_dots(rows: Any, places: Any, start: int, vector: Any, out: Any) -> None:
    end = start + vector.size
    one, two = rows[places[0], start:end], rows[places[1], start:end]
    three, four = rows[places[2], start:end], rows[places[3], start:end]
    a = b = c = d = vector.dtype.type(0)
    for j in range(vector.size):
        a += one[j] * vector[j]
        b += two[j] * vector[j]
        c += three[j] * vector[j]
        d += four[j] * vector[j]
    out[0], out[1], out[2], out[3] = a, b, c, d


@element
def _add_four(rows: Any, places: Any, weights: Any, out: Any) -> None:
    one, two, three, four = rows[places[0]], rows[places[1]], rows[places[2]], rows[places[3]]
    a, b, c, d = weights[0], weights[1], weights[2], weights[3]
    for j in range(out.size):
        out[j] += (a * one[j] + b * two[j]) + (c * three[j] + d * four[j])
