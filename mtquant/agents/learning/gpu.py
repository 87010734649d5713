"""Help with a GPU: how large a batch fits, how much memory is used, mixed precision. On a CPU it does nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import nn

Device = str | torch.device
SMALLEST = 64
SHARE = 0.8
"""Share of the free memory that a batch may take; the rest is for what comes and goes."""


@dataclass(frozen=True)
class MemoryReport:
    """Memory in bytes; of the GPU None where there is none."""

    device: str
    process: int
    """Held by this process in the machine's own memory."""
    total: int | None = None
    """Of the GPU."""
    free: int | None = None
    """Of the GPU, whoever uses the rest."""
    allocated: int | None = None
    """In tensors of this process."""
    reserved: int | None = None
    """Held by this process for tensors, the present ones among them."""
    peak: int | None = None
    """The most that was allocated so far."""


def monitor_memory(device: Device = "cpu") -> MemoryReport:
    """Return what this process uses now."""
    process = psutil.Process().memory_info().rss
    found = torch.device(device)
    if found.type != "cuda":
        return MemoryReport(str(found), process)
    free, total = torch.cuda.mem_get_info(found)
    return MemoryReport(
        str(found),
        process,
        total,
        free,
        torch.cuda.memory_allocated(found),
        torch.cuda.memory_reserved(found),
        torch.cuda.max_memory_allocated(found),
    )


def clear_cache(device: Device = "cpu") -> None:
    """Give memory that no tensor uses back to the GPU's other users."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def optimize_batch_size(model: nn.Module, input_shape: Sequence[int], largest: int, device: Device = "cpu") -> int:
    """Return the largest batch, a power of two times `SMALLEST` up to `largest`, whose gradients fit the GPU's memory.

    `input_shape` is that of one sample of the model's one input. On a CPU `largest` is returned untried. What fits
    depends on the machine and so would results: set `batch_size` to what was found, it is not chosen by itself.
    """
    found = torch.device(device)
    if found.type != "cuda":
        return largest
    fits, size = min(SMALLEST, largest), SMALLEST
    while size <= largest and _fits(model, (size, *input_shape), found):
        fits, size = size, 2 * size
    model.zero_grad(set_to_none=True)
    clear_cache(found)
    return fits


def _fits(model: nn.Module, shape: Sequence[int], device: torch.device) -> bool:
    """Return whether a forward and a backward pass of zeros leave memory over."""
    try:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        room = SHARE * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - before)
        output: torch.Tensor = model(torch.zeros(shape, device=device))
        output.float().square().mean().backward()
        torch.cuda.synchronize(device)
    except torch.cuda.OutOfMemoryError:
        return False
    return torch.cuda.max_memory_allocated(device) - before <= room


@contextmanager
def mixed_precision(device: Device, *, wanted: bool) -> Iterator[None]:
    """Compute in bfloat16 where that is safe, on a GPU that has it; elsewhere in full precision, as without this.

    bfloat16 has the range of float32, so that gradients need no scaling and a checkpoint nothing more.
    """
    if wanted and torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            yield
    else:
        yield
