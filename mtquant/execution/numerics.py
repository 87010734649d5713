"""What decides the bits of a result besides a unit's key: threads, kernels, processor."""

import os
import platform
from pathlib import Path

THREADS_VARIABLE = "MTQUANT_THREADS"
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def threads() -> int:
    """Return the threads of one unit's process: `MTQUANT_THREADS`, else 1."""
    return max(1, int(os.environ.get(THREADS_VARIABLE) or 1))


def thread_variables(count: int) -> dict[str, str]:
    """Return the environment that limits a child's numeric libraries to `count` threads."""
    return {THREADS_VARIABLE: str(count), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} | dict.fromkeys(_POOLS, str(count))


def limit_threads() -> None:
    """Set the variables for this process; only counts before numpy and torch are imported."""
    for name, value in thread_variables(threads()).items():
        os.environ.setdefault(name, value)


def make_torch_deterministic() -> None:
    """Limit torch's threads and forbid kernels whose result depends on timing."""
    import torch

    torch.set_num_threads(threads())
    torch.use_deterministic_algorithms(True)


def numeric_environment(device: str) -> dict[str, str]:
    """Return what a checkpoint records: identical bits are promised only where this is identical."""
    return {"device": device, "threads": str(threads()), "machine": platform.machine(), "processor": _processor()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
