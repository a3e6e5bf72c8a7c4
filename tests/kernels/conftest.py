"""What the tests of the operators share: both implementations that run on a CPU."""

import pytest
from l2s.kernels import backends


@pytest.fixture(params=["reference", "fast"])
def implementation(request, monkeypatch):
    """Run a test with each implementation, whatever the size of its input."""
    if request.param == "fast":
        pytest.importorskip("numba")
        small = -1
    else:
        small = 2**63
    monkeypatch.setattr(backends, "_SMALL", dict.fromkeys(backends._SMALL, small))
    return request.param
