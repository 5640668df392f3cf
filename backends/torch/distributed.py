"""Several processes that train one network: who they are, and sums over all of them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from backends.torch.device import Device, moved
from cic.system import launchers
from cic.system.arrays import State
from cic.system.errors import ProcessError, is_out_of_memory, reason

# Seconds in which gloo's threads let go of the last tensors. They need the interpreter for it: one
# that comes when it is ending aborts the process, after the run (PyTorch 2.13.0).
LAST = 0.3
GRACE = 5  # seconds in which the launcher notices, and shows, which process ended first


def join(device: Device) -> Device:
    """Join the other processes of a launch, if this is one of several; the device to train on.

    torchrun, srun or mpirun says who they are. With GPUs the process takes the one of its local
    rank (NCCL), else they meet over gloo.
    """
    launch = launchers.found()
    if launch is None or distributed.is_initialized():
        return device
    if device.type == "cuda":
        device = torch.device(
            "cuda", launchers.own_gpu(launch, launch.local, torch.cuda.device_count())
        )
        torch.cuda.set_device(device)
    host, port = launchers.meeting(launch)
    where: dict[str, Any] = {"init_method": f"tcp://{host}:{port}"}
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # Processes that torchrun starts again get the store of those before, with all that these
        # wrote, and would wait for them for ever (PyTorch 2.13.0): each attempt has its own part.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        agent = distributed.TCPStore(host, port, launch.size, is_master=False)
        where = {"store": distributed.PrefixStore(f"attempt {attempt}", agent)}
    where |= {"rank": launch.rank, "world_size": launch.size}
    if device.type == "cuda":
        where["device_id"] = device  # NCCL connects at once: what is wrong shows here
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", **where)
    return device


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def _named() -> Iterator[None]:
    """A context in which a message that fails says that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        time.sleep(GRACE)
        raise ProcessError(f"another process of this run has ended: {reason(error)}") from None


def sum_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over all processes, and return it."""
    begin_sum_(tensor)()
    return tensor


def begin_sum_(tensor: Tensor) -> Callable[[], None]:
    """Begin to replace a tensor by its sum over all processes; a function that waits for it.

    On a GPU its stream waits, not this process.
    """
    if world_size() == 1:
        return lambda: None
    with _named():
        work = distributed.all_reduce(tensor, async_op=True)

    def finish() -> None:
        with _named():
            work.wait()

    return finish


def gather(rows: Tensor, tensor: Tensor) -> None:
    """Fill `rows` (P * N, ...) with the tensors (N, ...) of all processes, one after the other."""
    with _named():
        distributed.all_gather_into_tensor(rows, tensor)


def largest(tensor: Tensor) -> Tensor:
    """Return the largest number of all processes' tensors, none of which is below 0; a 0-d
    tensor.
    """
    number = tensor.max() if tensor.numel() else tensor.new_zeros(())
    if world_size() > 1:
        with _named():
            distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return number


def agreed(arrays: State, device: Device) -> State:
    """Return {name: the first process's array}, in all; each gives arrays of its names and
    shapes.
    """
    if world_size() == 1:
        return arrays
    arrays = dict(arrays)
    for name, array in arrays.items():
        tensor = moved(np.array(array).reshape(-1), device)
        with _named():
            distributed.broadcast(tensor, 0)
        arrays[name] = tensor.numpy(force=True).reshape(np.shape(array))
    return arrays


def broadcast_text(text: str, device: Device) -> str:
    """Return the first process's text, in all."""
    data = np.frombuffer(text.encode(), np.uint8)
    length = int(agreed({"": np.array(len(data))}, device)[""])
    data = agreed({"": np.resize(data, length)}, device)[""]
    return data.tobytes().decode()


def leave(failed: bool = False) -> None:
    """Leave the other processes; after an error without the farewell of NCCL.

    It waits for messages under way, which those that wait for this process cannot send. So the
    error would show after NCCL's ten minutes; as it is, the launcher ends the others.
    """
    if distributed.is_initialized() and not (
        failed and distributed.get_backend().lower() == "nccl"
    ):
        distributed.destroy_process_group()
        time.sleep(LAST)
