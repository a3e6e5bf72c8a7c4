"""Selecting experts and features."""
