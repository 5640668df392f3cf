"""From a spec to an nn.Module whose state_dict has the neutral names, and back."""

import numpy as np
import torch
from torch import nn

from backends.torch import distributed
from backends.torch.device import resolve_device
from cic import layers
from cic.checkpoint import check
from cic.initialize import initialize


class BatchNorm2D(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes' photos together."""

    def forward(self, x):
        if not self.training or distributed.size() == 1:
            return super().forward(x)
        inputs = x.to(self.running_mean.dtype)
        count = inputs.new_tensor([inputs.numel() // inputs.shape[1]])
        sums = distributed.total(torch.cat([inputs.sum((0, 2, 3)), count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count.clamp(min=1)
        centred = inputs - mean[:, None, None]
        variance = distributed.total(centred.square().sum((0, 2, 3))) / count.clamp(min=1)
        with torch.no_grad():
            share = self.momentum * (count > 0).to(count)  # no process may have had a photo
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), share)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


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
    layers.BatchNorm: lambda layer: BatchNorm2D(
        layer.channels, eps=layer.epsilon, momentum=layer.momentum
    ),
    layers.ReLU: lambda layer: nn.ReLU(inplace=True),
    layers.MaxPool: lambda layer: nn.MaxPool2d(layer.kernel, layer.stride),
    layers.Flatten: lambda layer: nn.Flatten(),
    layers.Linear: lambda layer: nn.utils.skip_init(nn.Linear, layer.inputs, layer.outputs),
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


def arrays(net):
    """{neutral name: tensor}; batch norm's count of batches is PyTorch's alone."""
    state = net.state_dict()
    return {name: state[name] for name in net.network.state_shapes}


@torch.no_grad()
def import_state(net, state):
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in arrays(net).items():
        # of an array that cannot be written to PyTorch makes no tensor without a warning
        tensor.copy_(torch.from_numpy(np.require(state[name], requirements="CW")))


def export_state(net):
    """Neutral state {name: array} of `net`, in its precision."""
    return {name: tensor.numpy(force=True).copy() for name, tensor in arrays(net).items()}


@torch.inference_mode()
def forward(net, array):
    """Output of `net` in evaluation mode for an array (N, C, H, W), an array in its precision."""
    weight = next(net.parameters())
    net.eval()
    return net(torch.from_numpy(np.ascontiguousarray(array)).to(weight)).numpy(force=True)
