"""Compile a Triton kernel for a GPU that is not there, and read what it takes.

    python -m tests.kernels.ahead_of_time sm_90    # prints one JSON object

Triton's compiler needs no GPU, and its wheel brings NVIDIA's assembler and reader of binaries.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

BINARIES = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
KINDS = {
    "f": "*fp32",
    "d": "*fp64",
    "b": "*bf16",
    "k": "*i64",
    "i": "*i32",
    "m": "*i8",
    "n": "i32",
    "x": "fp32",
}


def main(architecture: str) -> None:
    """Compile each kernel in each of its variants."""
    found = {}
    for operator, variants in VARIANTS.items():
        gpu = importlib.import_module(f"l2s.kernels.{operator}.gpu")
        for kernel, types, constants in variants:
            name = f"{operator} {kernel} {types} {_choice(constants)}".strip()
            found[name] = resources(getattr(gpu, kernel), types, constants, architecture)
    print(json.dumps(found))


def resources(kernel, types: str, constants: dict, architecture: str) -> dict[str, int]:
    """Registers a thread, bytes of shared memory a block, bytes of spilled registers a thread."""
    names = [name for name in kernel.arg_names if name not in constants]
    signature = dict(zip(names, (KINDS[letter] for letter in types), strict=True))
    signature |= dict.fromkeys(constants, "constexpr")
    # As at run time, where memory starts at multiples of 16; without this, loads are not joined.
    aligned = {
        (kernel.arg_names.index(name),): [["tt.divisibility", 16]]
        for name in names
        if signature[name].startswith("*") or signature[name] == "i32"
    }
    order = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(kernel, order, constants, aligned)
    number = int(architecture.removeprefix("sm_"))
    compiled = triton.compile(source, GPUTarget("cuda", number, 32), options={"num_warps": 8})
    with tempfile.TemporaryDirectory() as folder:
        binary, text = Path(folder, "kernel.cubin"), Path(folder, "kernel.ptx")
        binary.write_bytes(compiled.asm["cubin"])
        text.write_text(compiled.asm["ptx"])
        usage = _output(BINARIES / "cuobjdump", "--dump-resource-usage", binary)
        exact = f"{architecture}a" if number >= 90 else architecture
        spills = _output(
            BINARIES / "ptxas", "-v", f"--gpu-name={exact}", text, "-o", Path(folder, "again")
        )
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "shared": compiled.metadata.shared,
        "spills": sum(map(int, re.findall(r"(\d+) bytes spill", spills))),
    }


def _choice(constants: dict) -> str:
    """What tells variants of one signature apart."""
    transposed = "transposed" if "w_row" in constants else ""
    spark = "spark" if constants.get("IS_SPARK") else ""
    return f"{constants.get('LOG', '')}{constants.get('PRECISION', '')} {transposed}{spark}"


def _output(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def _tile(dtype: torch.dtype, **constants) -> dict:
    """The constants of a product of rows of 512 numbers, with the strides of contiguous tensors."""
    gpu = importlib.import_module("l2s.kernels.grouped_matmul.gpu")
    return gpu.constants(torch.empty(0, dtype=dtype)) | {"x_column": 1} | constants


SIZES = {"BLOCK": 2048, "BLOCKS": 64}  # rows of 131072
MULTIPLY = {"DEPTH": 512, "BLOCKS": 16}
# As for 2304 inputs, of which 737 of 9216 neurons are active.
HIDDEN = {"IS_GATED": True, "ACTIVATION": 1, "ROWS": 16, "BLOCK": 256, "BLOCKS": 9}
SUM = {"COLUMNS": 128, "NEURONS": 16, "BLOCKS": 64}
# A head of 128 dimensions whose predictor has 64.
HEAD = {
    "DIM": 128,
    "OUTPUTS": 128,
    "PART": 64,
    "WIDTH": 64,
    "START": 0,
    "IS_TOP_K": True,
    "IS_SPARK": False,
    "BLOCK": 32,
    "DIM_BLOCK": 128,
    "OUTPUT_BLOCK": 128,
    "WIDTH_BLOCK": 64,
}
VARIANTS = {
    "soft_topk": [
        ("forward_kernel", "fkdffn", SIZES | {"LOG": False}),
        ("forward_kernel", "dkdddn", SIZES | {"LOG": True}),
        ("backward_kernel", "fffdfn", SIZES | {"LOG": False}),
        ("backward_kernel", "fffdfn", SIZES | {"LOG": True}),
    ],
    "statistical_topk": [
        ("forward_kernel", "fffxxnn", SIZES | {"KIND": "soft"}),
        ("forward_kernel", "bbfxxnn", SIZES | {"KIND": "hard"}),
        ("forward_kernel", "dmdxxnn", SIZES | {"KIND": "mask"}),
        ("backward_kernel", "ffffxxnn", SIZES | {"HARD": False}),
        ("backward_kernel", "bbfbxxnn", SIZES | {"HARD": False}),
        ("backward_kernel", "ddddxxnn", SIZES | {"HARD": False}),
    ],
    "sparse_ffn": [
        ("hidden_kernel", "ffkffnn", HIDDEN),
        ("hidden_kernel", "bbkbfnn", HIDDEN),
        ("hidden_kernel", "ddkddnn", HIDDEN),
        ("sum_kernel", "fkffnn", SUM),
        ("sum_kernel", "bkfbnn", SUM),
    ],
    "topk_attention": [
        ("attend_kernel", "fffffkdfnnnxxxx", HEAD),
        ("attend_kernel", "fffffkdfnnnxxxx", HEAD | {"START": 64, "IS_SPARK": True, "PART": 128}),
        ("attend_kernel", "bbbbbkdbnnnxxxx", HEAD),
        ("attend_kernel", "dddddkddnnnxxxx", HEAD),
    ],
    "negative_mass": [
        ("forward_kernel", "fmfffn", SIZES),
        ("backward_kernel", "fffmffn", SIZES),
        ("backward_kernel", "dddmddn", SIZES),
    ],
    "grouped_matmul": [
        ("multiply_kernel", "ffifnnnn", _tile(torch.float32, w_column=1, **MULTIPLY)),
        ("multiply_kernel", "ffifnnnn", _tile(torch.float32, w_row=1, **MULTIPLY)),  # transposed
        (
            "multiply_kernel",
            "ffifnnnn",
            _tile(torch.float32, w_column=1, **MULTIPLY, PRECISION="tf32"),
        ),
        ("multiply_kernel", "bbibnnnn", _tile(torch.bfloat16, w_column=1, **MULTIPLY)),
        ("multiply_kernel", "ddidnnnn", _tile(torch.float64, w_column=1, **MULTIPLY)),
        ("outer_kernel", "ffifnnnn", _tile(torch.float32, y_column=1)),
        ("outer_kernel", "ffifnnnn", _tile(torch.float32, y_column=1, PRECISION="tf32")),
        ("outer_kernel", "bbibnnnn", _tile(torch.bfloat16, y_column=1)),
        ("outer_kernel", "ddidnnnn", _tile(torch.float64, y_column=1)),
    ],
}

if __name__ == "__main__":
    main(*sys.argv[1:])
