"""The log of the exponential mass of all candidates but a few: what contrastive losses share."""

from l2s.kernels.log_mass.reference import log_mass_reference


def log_mass(anchors, candidates, excluded, *, temperature, block_size=None):
    """Return log U_i (see the reference)."""
    return log_mass_reference(anchors, candidates, excluded, temperature=temperature)
