"""The fastest way to run a network: channels last, without a graph."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from backends.torch.device import Device
from backends.torch.network import build, forward
from cic.networks import Network
from cic.system import threads
from cic.system.arrays import Array, State


def predictor(
    network: Network, state: State, device: str | Device = "auto"
) -> Callable[[Array], Array]:
    """Callable (N, C, H, W) float32 -> output of `network` with `state` on `device`."""
    net = build(network, state, device)

    def predict(array: Array) -> Array:
        with _computing(threads.for_network()):
            return forward(net, array)

    return predict


@contextmanager
def _computing(count: int) -> Iterator[None]:
    """A context in which `count` threads compute what this one asks for."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)  # of this thread, whatever is set in others
    try:
        yield
    finally:
        torch.set_num_threads(before)
