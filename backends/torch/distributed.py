"""Several processes that train one network: who they are, and sums over all of them."""

import os
import time

import torch
from torch import distributed

from cic.system import launchers
from cic.system.errors import ProcessError

# Seconds in which gloo's threads let go of the last tensors. They need the interpreter for it: one
# that comes when it is ending aborts the process, after the run (PyTorch 2.13.0).
LAST = 0.3
GRACE = 5  # seconds in which the launcher notices, and shows, which process ended first


def join(device):
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
    where = {"init_method": f"tcp://{host}:{port}"}
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # Processes that torchrun starts again get the store of those before, with all that these
        # wrote, and would wait for them for ever (PyTorch 2.13.0): each attempt has its own part.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        agent = distributed.TCPStore(host, port, launch.size, is_master=False)
        where = {"store": distributed.PrefixStore(f"attempt {attempt}", agent)}
    where |= {"rank": launch.rank, "world_size": launch.size}
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", **where)
    return device


def rank():
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size():
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _reduce_(tensor, operation=distributed.ReduceOp.SUM):
    try:
        distributed.all_reduce(tensor, operation)
    except torch.cuda.OutOfMemoryError:
        raise  # it is a RuntimeError
    except RuntimeError as error:
        time.sleep(GRACE)
        reason = next(filter(str.strip, str(error).splitlines()), type(error).__name__)
        raise ProcessError(f"another process of this run has ended: {reason}") from None
    return tensor


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return _reduce_(tensor.clone())

    @staticmethod
    def backward(ctx, gradient):
        return _Total.forward(ctx, gradient)


def total(tensor):
    """The sum of a tensor over all processes; gradients are summed likewise."""
    return _Total.apply(tensor) if world_size() > 1 else tensor


def largest(tensor):
    """The largest number of all processes' tensors, none of which is below 0; a 0-d tensor."""
    number = tensor.max() if tensor.numel() else tensor.new_zeros(())
    return _reduce_(number, distributed.ReduceOp.MAX) if world_size() > 1 else number


def all_reduce_(tensors):
    """Replace each of the tensors by its sum over all processes, in one message."""
    if world_size() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _reduce_(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))


def broadcast_(tensors):
    """Replace each of the tensors by that of the first process."""
    if rank() > 0:
        for tensor in tensors:
            tensor.zero_()
    all_reduce_(tensors)


def leave():
    """Leave the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
        time.sleep(LAST)
