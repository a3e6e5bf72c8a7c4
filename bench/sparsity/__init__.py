"""Benchmarks of the chapters of the part "Sparsity"."""
