"""Which device to run on."""

from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

from cic.system import launchers, provenance
from cic.system.arrays import Array
from cic.system.errors import SettingError
from cic.system.typing import Json

Device: TypeAlias = torch.device


def resolve_device(device: str | Device = "auto") -> Device:
    """torch.device for "auto" (a GPU if there is one), "cpu", "gpu", "gpu:1" or "cuda:1".

    Of "auto", processes of one launch take the GPUs of their machine in turn. Raises ValueError for
    another name or a GPU that is not there.
    """
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = f"gpu:{launchers.local_rank() % gpus}" if gpus else "cpu"
    kind, _, index = str(device).replace("cuda", "gpu").partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if kind != "gpu" or not (index or "0").isdigit():
        raise SettingError(f"device {device!r}: it is auto, cpu, gpu or gpu:N")
    if int(index or 0) >= gpus:
        raise SettingError(f"device {device!r}: PyTorch sees {gpus} GPUs here")
    return torch.device("cuda", int(index or 0))


def facts(device: str | Device) -> dict[str, Json]:
    """{what: value} of the GPU and the libraries of this build; None where there is none."""
    found: dict[str, Json] = {"gpu": None, "memory": None, "driver": provenance.driver()}
    found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "nccl": None}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"gpu": properties.name, "memory": properties.total_memory}
        if torch.distributed.is_nccl_available():
            found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
    return found


def free_memory(device: Device) -> int | None:
    """Bytes of a GPU that this process can still take; None for the CPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def has_tf32(device: Device) -> bool:
    """Whether a native device can multiply float32 rounded to 10 bits: NVIDIA's from Ampere on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def allow_tf32(allowed: bool) -> None:
    """Let this process's float32 be TF32 on a GPU, or not: convolutions are by default."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def search_kernels(wanted: bool) -> None:
    """Let cuDNN try its kernels at each size that this process meets, and keep the fastest, or not.

    Not where every kernel is to sum in a fixed order.
    """
    ordered = torch.backends.cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    torch.backends.cudnn.benchmark = wanted and not ordered


def copied(tensor: Tensor) -> Array:
    """Array of a tensor's numbers, copied once, from whichever device."""
    copy = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return copy.numpy()


def moved(array: Array, device: Device) -> Tensor:
    """Tensor of an array on a native device, without waiting for a GPU.

    It goes from pinned memory, in a stream of its own, while the GPU still computes.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    current, copies = torch.cuda.current_stream(device), _copies(device)
    with torch.cuda.stream(copies):
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    current.wait_stream(copies)
    tensor.record_stream(current)  # else its memory could be lent anew to the other stream
    return tensor


@lru_cache
def _copies(device: Device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
