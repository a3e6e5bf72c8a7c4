"""Measurements side by side: ours, public implementations, and the machine's limit."""
