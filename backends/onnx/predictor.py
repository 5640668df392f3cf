"""The fastest way to run a network: its sessions."""

from collections.abc import Callable

from backends.onnx.network import build, forward
from cic.networks import Network
from cic.system.arrays import Array, State


def predictor(network: Network, state: State, device: str = "auto") -> Callable[[Array], Array]:
    """Callable (N, C, H, W) float32 -> output of `network` with `state` on `device`."""
    net = build(network, state, device)
    return lambda array: forward(net, array)
