"""What only PyTorch can tell: its build, a device's work and memory, the types of layers."""

import warnings
from contextlib import contextmanager

import torch

from backends.torch import device
from backends.torch.network import built
from backends.torch.targets import Targets

SIGNS = {"torch.float16": 16, "torch.bfloat16": 16, "torch.float32": 32, "torch.float64": 64}


def facts(on):
    """{what: value} of the build and the GPU."""
    found = {"framework": f"PyTorch {torch.__version__}"} | device.facts(on)
    return {name: str(value) for name, value in found.items() if value}


def tf32():
    """Whether float32 is TF32 now, (in products of matrices, in convolutions)."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def gpus():
    """How many GPUs there are."""
    return torch.cuda.device_count()


def wait(device):
    """Return when all work of the device is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device):
    torch.cuda.reset_peak_memory_stats(device)


def peak(device):
    """Most bytes of a GPU that were taken since `reset_peak`."""
    return torch.cuda.max_memory_allocated(device)


def free():
    """Give back what is kept for later."""
    torch.cuda.empty_cache()


def count_waits(function):
    """How often `function()` makes the process wait for the GPU."""
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function()
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    return sum("synchroniz" in str(warning.message) for warning in caught)


@contextmanager
def deterministic():
    """A context in which every kernel sums in a fixed order."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def targets(bins, network, on, crops):
    """(index, weight, inputs) that a device makes of crops, arrays."""
    made, crops = Targets(bins, network, on), device.moved(crops, device.resolve_device(on))
    return [tensor.numpy(force=True) for tensor in (*made.of(crops), made.inputs(crops))]


def output_types(trainer, batch):
    """[(kind of layer, bits of its output)] of a forward pass in training."""
    seen, handles = [], []
    for layer, module in built(trainer.net):
        kind = type(layer).__name__
        note = lambda _, __, y, kind=kind: seen.append((kind, SIGNS[str(y.dtype)]))  # noqa: E731
        handles.append(module.register_forward_hook(note))
    trainer.step(batch, 0.0)
    for handle in handles:
        handle.remove()
    return seen
