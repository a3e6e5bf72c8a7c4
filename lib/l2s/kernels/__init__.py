"""Operators that several chapters share, each with a readable reference and a fast path."""
