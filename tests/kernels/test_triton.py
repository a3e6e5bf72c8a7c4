"""The Triton kernels without a GPU: in Triton's interpreter, and compiled ahead of time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).parents[2]
ROW = {"shared": 16384, "registers": 128}
OPERATORS = [
    "soft_topk",
    "statistical_topk",
    "sparse_ffn",
    "topk_attention",
    "negative_mass",
    "grouped_matmul",
]
PRODUCT = {"shared": 98304, "registers": 168}  # tiles wait in shared memory; one or two blocks fit


def run(*module_and_arguments, **environment):
    """In a process of its own: the interpreter and the compiler do not live side by side."""
    return subprocess.run(
        [sys.executable, "-m", *module_and_arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=110,
    )


@pytest.mark.parametrize("operator", OPERATORS)
def test_all_cases_in_the_interpreter(operator):
    done = run(f"tests.kernels.{operator}_cases", "gpu", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout + done.stderr


# What a block of 8 warps may take: 65536 registers, so 255 a thread; shared memory for several
# blocks, out of 164 KiB (sm_80) and 228 KiB (sm_90).
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_fit_the_registers(architecture):
    done = run("tests.kernels.ahead_of_time", architecture)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 31
    for name, taken in found.items():
        assert taken["spills"] == 0, name
        limits = PRODUCT if name.startswith("grouped_matmul") else ROW
        assert taken["shared"] <= limits["shared"], name
        assert taken["registers"] <= (255 if " d" in name else limits["registers"]), name
