"""Benchmarks of the chapters of the part "Generalization"."""
