"""From a spec to an nn.Module whose state_dict has the neutral names, and back."""

import numpy as np
import torch
from torch import nn

from backends.torch.device import resolve_device
from cic import layers
from cic.checkpoint import check
from cic.initialize import initialize

_BUILD = {
    layers.Conv: lambda layer: nn.utils.skip_init(
        nn.Conv2d,
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    ),
    layers.ConvTranspose: lambda layer: nn.utils.skip_init(
        nn.ConvTranspose2d,
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
    ),
    layers.BatchNorm: lambda layer: nn.BatchNorm2d(
        layer.channels, eps=layer.epsilon, momentum=layer.momentum
    ),
    layers.ReLU: lambda layer: nn.ReLU(inplace=True),
}


class Net(nn.Sequential):
    """The layers of a spec, each under its neutral name."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        for i, layer in enumerate(network.layers):
            self.add_module(getattr(layer, "name", f"layer{i}"), _BUILD[type(layer)](layer))


def build(network, state=None, device="cpu", dtype="float32"):
    """Net of `network` with `state`, by default `initialize(network)`, in evaluation mode."""
    net = Net(network).to(
        resolve_device(device), getattr(torch, dtype), memory_format=torch.channels_last
    )
    import_state(net, initialize(network) if state is None else state)
    return net.eval()


def _arrays(net):
    """{neutral name: tensor}; batch norm's count of batches is PyTorch's alone."""
    state = net.state_dict()
    return {name: state[name] for name in net.network.state_shapes}


@torch.no_grad()
def import_state(net, state):
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in _arrays(net).items():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(state[name])))


def export_state(net):
    """Neutral state {name: array} of `net`, in its precision."""
    return {name: tensor.numpy(force=True).copy() for name, tensor in _arrays(net).items()}


@torch.inference_mode()
def forward(net, array):
    """Output of `net` in evaluation mode for an array (N, C, H, W), an array in its precision."""
    weight = next(net.parameters())
    net.eval()
    return net(torch.from_numpy(np.ascontiguousarray(array)).to(weight)).numpy(force=True)
