"""What only Paddle can tell: its build, a device's work and memory, the types of layers."""

from contextlib import contextmanager

import paddle
from paddle.base import core

from backends.paddle import device
from backends.paddle.network import built
from backends.paddle.targets import Targets

SIGNS = {"paddle.float16": 16, "paddle.bfloat16": 16, "paddle.float32": 32, "paddle.float64": 64}


def facts(on):
    """{what: value} of the build and the GPU."""
    found = {"framework": f"PaddlePaddle {paddle.__version__}"} | device.facts(on)
    return {name: str(value) for name, value in found.items() if value}


def tf32():
    """Whether float32 is TF32 now, (in products of matrices, in convolutions)."""
    if not hasattr(core, "get_cublas_switch"):  # Paddle before 3.3 without CUDA
        return False, False
    return core.get_cublas_switch(), core.get_cudnn_switch()


def gpus():
    """How many GPUs there are."""
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def wait(device):
    """Return when all work of the device is done."""
    if device != "cpu":
        paddle.device.synchronize(device)


def reset_peak(device):
    paddle.device.cuda.reset_max_memory_allocated(device)


def peak(device):
    """Most bytes of a GPU that were taken since `reset_peak`."""
    return paddle.device.cuda.max_memory_allocated(device)


def free():
    """Give back what is kept for later."""
    paddle.device.cuda.empty_cache()


def count_waits(function):
    """None: Paddle does not tell how often the process waits for the GPU."""
    return


@contextmanager
def deterministic():
    """A context in which every kernel sums in a fixed order."""
    name = "FLAGS_cudnn_deterministic"
    before = paddle.get_flags([name])[name] if paddle.is_compiled_with_cuda() else None
    if before is not None:
        paddle.set_flags({name: True})
    try:
        yield
    finally:
        if before is not None:
            paddle.set_flags({name: before})


def targets(bins, network, on, crops):
    """(index, weight, inputs) that a device makes of crops, arrays."""
    made, crops = Targets(bins, network, on), device.moved(crops, device.resolve_device(on))
    return [tensor.numpy() for tensor in (*made.of(crops), made.inputs(crops))]


def output_types(trainer, batch):
    """[(kind of layer, bits of its output)] of a forward pass in training."""
    seen, handles = [], []
    for layer, module in built(trainer.net):
        kind = type(layer).__name__
        note = lambda _, __, y, kind=kind: seen.append((kind, SIGNS[str(y.dtype)]))  # noqa: E731
        handles.append(module.register_forward_post_hook(note))
    trainer.step(batch, 0.0)
    for handle in handles:
        handle.remove()
    return seen
