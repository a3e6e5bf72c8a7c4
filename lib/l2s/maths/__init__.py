"""Mathematics that several chapters share: frames and the distance to them.

``simplex_etf`` and ``orthogonal_frame`` build the sets of vectors that trained last layers turn
into; ``frame_distance`` says how far a set is from one of them when rotation and scale do not
count, and ``align_frame`` turns and scales a frame on to a set.
"""

from l2s.maths.frames import align_frame, frame_distance, orthogonal_frame, simplex_etf

__all__ = ["align_frame", "frame_distance", "orthogonal_frame", "simplex_etf"]
