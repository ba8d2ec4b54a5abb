"""What this machine offers: for `kineme doctor` and for the cards of runs."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable

import torch

from .errors import InputError


def describe() -> dict[str, str]:
    """Torch build, threads, bf16, GPU, and the measured rate of fp32 and bf16 matmuls by each path."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "threads": str(torch.get_num_threads()),
        "bf16 instructions": "yes" if bf16() else "no (bf16 works, but is slower than fp32 here)",
        "GPU": ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) or "none",
    }
    for name, multiply in paths().items():
        found[f"matmul, {name}"] = f"{gflops(multiply):.0f} GFLOP/s"
    return found


def device(name: str | torch.device | None = None) -> str:
    """The device to compute on: by default CUDA where there is one, this process's own under several.

    Raises:
        InputError: no such device, or not on this machine.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return f"cuda:{torch.cuda.current_device()}" if gpus else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", str(name))
    if not match:
        raise InputError("device", f"{str(name)!r}, which is none", "one of cpu, cuda, cuda:0")
    if str(name) != "cpu" and int(match[1] or 0) >= gpus:
        there = f"only {', '.join(f'cuda:{i}' for i in range(gpus))}" if gpus else "no CUDA device"
        hint = "`kineme doctor` says what there is; leave it away, or take cpu"
        raise InputError("device", f"{str(name)!r}, but there is {there} here", hint=hint)
    return str(name)


def bf16() -> bool:
    """Whether the processor multiplies bf16 by itself."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            return "avx512_bf16" in (text := file.read()) or "amx_bf16" in text
    except OSError:
        return False


def paths() -> dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The ways in which two matrices can be multiplied here, by name."""
    ways: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "fp32, torch default": lambda a, b: a @ b.T
    }
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways["fp32, oneDNN"] = lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    ways["bf16"] = lambda a, b: a.bfloat16() @ b.bfloat16().T
    return ways


@torch.inference_mode()
def gflops(multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], size: int = 1024, rounds: int = 5) -> float:
    """Best of a few products of two ``[size, size]`` matrices, in GFLOP/s."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    multiply(a, b)
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        multiply(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best / 1e9


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
