"""Several processes that train one network: who they are, and sums over all of them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import Tensor, distributed

from backends.paddle.device import Device, moved
from cic.system import launchers
from cic.system.arrays import State
from cic.system.errors import ProcessError, is_out_of_memory, reason

GRACE = 5  # seconds in which the launcher notices, and shows, which process ended first


def join(device: Device) -> Device:
    """Join the other processes of a launch, if this is one of several; the device to train on.

    paddle.distributed.launch, srun or mpirun says who they are. With GPUs the process takes the one
    that it was given (NCCL), else they meet over gloo.
    """
    launch = launchers.found()
    if launch is None or distributed.is_initialized():
        return device
    if "PADDLE_TRAINERS_NUM" not in os.environ:
        os.environ |= _variables(launch)
    os.environ["PADDLE_DISTRI_BACKEND"] = "gloo" if device == "cpu" else "nccl"
    if device != "cpu":
        number, visible = distributed.ParallelEnv().device_id, paddle.device.cuda.device_count()
        number = launchers.own_gpu(launch, number, visible)
        os.environ["FLAGS_selected_gpus"] = str(number)  # noqa: SIM112 - its name
        device = f"gpu:{number}"
    paddle.set_device(device)
    distributed.init_parallel_env()
    return device


def _variables(launch: launchers.Launch) -> dict[str, str]:
    """Return what Paddle's own launcher would have set for this process."""
    host, port = launchers.meeting(launch)
    return {
        "PADDLE_TRAINER_ID": str(launch.rank),
        "PADDLE_TRAINERS_NUM": str(launch.size),
        "PADDLE_CURRENT_ENDPOINT": f"{host}:{port}",
        "PADDLE_TRAINER_ENDPOINTS": f"{host}:{port}",  # of which the first alone is read
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "FLAGS_selected_gpus": str(launch.local),
    }


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

    On a GPU its stream waits, not this process. On the CPU the sum is there at once.
    """
    if world_size() == 1:
        return lambda: None
    with _named():
        work = distributed.all_reduce(tensor, sync_op=False)

    def finish() -> None:
        with _named():
            work.wait()

    return finish


def gather(rows: Tensor, tensor: Tensor) -> None:
    """Fill `rows` (P * N, ...) with the tensors (N, ...) of all processes, one after the other."""
    with _named():
        distributed.all_gather(rows, tensor)  # type: ignore[arg-type]


def largest(tensor: Tensor) -> Tensor:
    """Return the largest number of all processes' tensors, none of which is below 0; a 0-d
    tensor.
    """
    number = tensor.max() if tensor.size else paddle.zeros([], tensor.dtype)
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
        arrays[name] = tensor.numpy().reshape(np.shape(array))
    return arrays


def broadcast_text(text: str, device: Device) -> str:
    """Return the first process's text, in all."""
    data = np.frombuffer(text.encode(), np.uint8)
    length = int(agreed({"": np.array(len(data))}, device)[""])
    data = agreed({"": np.resize(data, length)}, device)[""]
    return data.tobytes().decode()


def leave(failed: bool = False) -> None:
    """Leave the other processes; after an error without the farewell of NCCL.

    It may wait for messages under way, which those that wait for this process cannot send. So the
    error would not show; as it is, the launcher ends the others.
    """
    if distributed.is_initialized() and not (
        failed and distributed.get_backend().lower() == "nccl"
    ):
        distributed.destroy_process_group()
