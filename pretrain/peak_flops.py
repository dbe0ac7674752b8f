"""The most arithmetic a device can do, which the model's use of it (MFU) is a share of.

Reads:  the device's name
Writes: floating point operations per second, or None where they are not known
Cost:   on a CPU four products of matrices, some tenths of a second, once
Source: the data sheets of each, of NVIDIA and of AMD: dense products of bf16 (of fp16 for V100 and T4, which have no
        bf16), half of what is given with sparsity
"""

from __future__ import annotations

import re
import time
from typing import Literal

import torch

# The longer names come first: an "H100 PCIe" is an "H100" as well.
PEAK_BF16 = (
    ("B200", 2250e12),
    ("GH200", 989e12),
    ("H200", 989e12),
    ("H100 NVL", 835e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("A40", 149.7e12),
    ("A10", 125e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("V100", 125e12),
    ("T4", 65e12),
    ("MI325X", 1307.4e12),
    ("MI300X", 1307.4e12),
)
# Without TF32, which torch uses only where it is asked to.
PEAK_FP32 = (
    ("GH200", 67e12),
    ("H200", 67e12),
    ("H100 NVL", 60e12),
    ("H100 PCIe", 51e12),
    ("H100", 67e12),
    ("A100", 19.5e12),
    ("A40", 37.4e12),
    ("A10", 31.2e12),
    ("L40S", 91.6e12),
    ("L4", 30.3e12),
    ("V100", 15.7e12),
    ("T4", 8.1e12),
    ("MI325X", 163.4e12),
    ("MI300X", 163.4e12),
)
MEASURED_SIZE = 1024  # of the matrices: 2.1 GFLOP a product
MEASURED_TIMES = 4


def peak_flops(dtype: Literal["fp32", "bf16"], device: str = "cpu") -> float | None:
    """Of one rank's device: looked up on a GPU, measured on a CPU (with as many threads as torch has now)."""
    if device == "cpu":
        return _measured(torch.bfloat16 if dtype == "bf16" else torch.float32)
    return of_name(torch.cuda.get_device_name(), dtype)


def of_name(name: str, dtype: Literal["fp32", "bf16"]) -> float | None:
    """Of a GPU by the name its driver gives; None for one that is not in the table."""
    table = PEAK_BF16 if dtype == "bf16" else PEAK_FP32
    return next((value for known, value in table if re.search(rf"\b{known}\b", name)), None)


def _measured(dtype: torch.dtype) -> float:
    """The fastest of a few products of square matrices, the first one to warm up."""
    left, right = (torch.ones(MEASURED_SIZE, MEASURED_SIZE, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(MEASURED_TIMES):
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return 2.0 * MEASURED_SIZE**3 / min(times)
