"""Which device to run on."""

import ctypes
import os
from collections import deque
from ctypes import byref
from typing import TypeAlias

import paddle
from paddle import Tensor
from paddle.base import core

from cic.system import launchers, provenance
from cic.system.arrays import Array
from cic.system.errors import SettingError
from cic.system.typing import Json

Device: TypeAlias = str  # as Paddle names it: "cpu" or "gpu:0"


def resolve_device(device: str | Device = "auto") -> Device:
    """Paddle's name of the device for "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:1".

    Of "auto", processes of one launch take the GPUs of their machine in turn. Raises ValueError for
    another name or a GPU that is not there.
    """
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if device == "auto":
        device = f"gpu:{launchers.local_rank() % gpus}" if gpus else "cpu"
    kind, _, index = str(device).replace("cuda", "gpu").partition(":")
    if kind == "cpu":
        return "cpu"
    if kind != "gpu" or not (index or "0").isdigit():
        raise SettingError(f"device {device!r}: it is auto, cpu, gpu or gpu:N")
    if int(index or 0) >= gpus:
        raise SettingError(f"device {device!r}: PaddlePaddle sees {gpus} GPUs here")
    return f"gpu:{int(index or 0)}"


def facts(device: str | Device) -> dict[str, Json]:
    """{what: value} of the GPU and the libraries of this build; None where there is none."""
    found: dict[str, Json] = dict.fromkeys(("gpu", "memory", "driver", "cuda", "cudnn", "nccl"))
    found["driver"] = provenance.driver()
    if paddle.is_compiled_with_cuda():
        found |= {"cuda": paddle.version.cuda(), "cudnn": paddle.version.cudnn()}
    if device != "cpu":
        properties = paddle.device.cuda.get_device_properties(device)
        found |= {"gpu": properties.name, "memory": properties.total_memory}
        found["nccl"] = str(paddle.version.nccl())
    return found


def free_memory(device: Device) -> int | None:
    """Bytes of a GPU that this process can still take; None for the CPU.

    Paddle knows only its own: what other processes have is the driver's to say, of the GPU that
    this thread works with.
    """
    if device == "cpu":
        return None
    cuda = paddle.device.cuda
    total = cuda.get_device_properties(device).total_memory
    free, whole = ctypes.c_size_t(), ctypes.c_size_t()
    paddle.set_device(device)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuMemGetInfo_v2(byref(free), byref(whole))
    except (OSError, AttributeError):  # another system's driver
        failed = True
    if failed:
        return total - cuda.memory_allocated(device)
    return free.value + cuda.memory_reserved(device) - cuda.memory_allocated(device)


def has_tf32(device: Device) -> bool:
    """Whether a native device can multiply float32 rounded to 10 bits: NVIDIA's from Ampere on.

    The variable of NVIDIA's libraries turns it off on any.
    """
    if device == "cpu" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return False
    return tuple(paddle.device.cuda.get_device_capability(device)) >= (8, 0)


def allow_tf32(allowed: bool) -> None:
    """Let this process's float32 be TF32 on a GPU, or not: it is by default."""
    if hasattr(core, "set_cublas_switch"):  # Paddle before 3.3 without CUDA has no switches
        core.set_cublas_switch(allowed)
        core.set_cudnn_switch(allowed)


def search_kernels(wanted: bool) -> None:
    """Let cuDNN try its kernels at each size that this process meets, and keep the fastest, or not.

    Not where every kernel is to sum in a fixed order.
    """
    if paddle.is_compiled_with_cuda():
        ordered = paddle.get_flags("FLAGS_cudnn_deterministic")["FLAGS_cudnn_deterministic"]
        paddle.set_flags({"FLAGS_cudnn_exhaustive_search": wanted and not ordered})


def copied(tensor: Tensor) -> Array:
    """Array of a tensor's numbers, copied once, from whichever device."""
    array = tensor.numpy()
    return array.copy() if tensor.place.is_cpu_place() else array


def moved(array: Array, device: Device) -> Tensor:
    """Tensor of an array on a device, without waiting for a GPU.

    It goes from pinned memory, which Paddle does not keep until it is there: so that is done here.
    """
    tensor = paddle.to_tensor(array, place="cpu")
    if device == "cpu" or not array.size:
        return tensor.to(device)
    while _under_way and _under_way[0][1].query():
        _under_way.popleft()
    pinned, arrival = tensor.pin_memory(), paddle.device.Event()
    tensor = pinned.cuda(int(device.partition(":")[2]), blocking=False)
    arrival.record()
    _under_way.append((pinned, arrival))
    return tensor


_under_way: deque[tuple[Tensor, paddle.device.Event]] = (
    deque()
)  # (pinned tensor, event that comes once it is on its GPU)
