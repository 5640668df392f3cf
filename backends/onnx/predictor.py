"""The fastest way to run a network: its sessions."""

from backends.onnx.network import build, forward


def predictor(network, state, device="auto"):
    """Callable (N, C, H, W) float32 -> output of `network` with `state` on `device`."""
    net = build(network, state, device)
    return lambda array: forward(net, array)
