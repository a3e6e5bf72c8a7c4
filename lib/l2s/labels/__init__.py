"""Part one, selecting labels: one module a chapter."""
