"""The geometry of selection."""
