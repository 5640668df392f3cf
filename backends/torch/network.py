"""From a spec to an nn.Module, its state under the neutral names, and back."""

from functools import reduce

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from backends.torch.batch_norm import BatchNorm2D
from backends.torch.device import allow_tf32, copied, moved, resolve_device, search_kernels
from cic.networks import layers
from cic.networks.initialize import initialize
from cic.networks.spectral import EPSILON
from cic.system.randomness import dropout_factors
from cic.weights.checkpoint import check


class InstanceNorm2D(nn.Module):
    """Instance norm of any number of channels, without parameters."""

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x):
        return F.instance_norm(x, eps=self.epsilon)


class SpectralConv2D(nn.Conv2d):
    """Convolution by the kernel divided by its spectral norm; one power iteration a training pass.

    See `cic.networks.spectral`.
    """

    def __init__(self, *args, device=None, dtype=None, **options):
        super().__init__(*args, device=device, dtype=dtype, **options)
        self.register_buffer("weight_u", self.weight.new_empty(self.out_channels))
        self.register_buffer("weight_v", self.weight.new_empty(self.weight[0].numel()))

    def forward(self, x):
        matrix = self.weight.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0, eps=EPSILON))
                self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0, eps=EPSILON))
        u, v = self.weight_u.clone(), self.weight_v.clone()  # another pass changes them in place
        with torch.autocast(x.device.type, enabled=False):  # the norm in full precision
            weight = self.weight / (u @ (matrix @ v))
        return self._conv_forward(x, weight, self.bias)


class _UnevenConv2D(nn.Conv2d):
    """Convolution with other padding before the picture than after it."""

    def __init__(self, *args, sides, device=None, dtype=None, **options):
        super().__init__(*args, device=device, dtype=dtype, **options)
        self.sides = sides * 2  # of both axes

    def forward(self, x):
        return super().forward(F.pad(x, self.sides))


class GlobalContext(nn.Module):
    """Mean over the whole picture, at every place."""

    def forward(self, x):
        return x.mean((2, 3), keepdim=True).expand_as(x)


class Dropout(nn.Module):
    """Dropout that follows from the photos' noise: see `cic.system.randomness.dropout_factors`."""

    def __init__(self, layer):
        super().__init__()
        self.spec, self.noise = layer, None

    def forward(self, x):
        if not self.training:
            return x
        factors = dropout_factors(self.noise, self.spec.name, x.shape[1:], self.spec.rate)
        return x * moved(factors, x.device).to(x.dtype)


class Branches(nn.Module):
    """The branches of a spec, put together by an operation."""

    def __init__(self, layer, operation):
        super().__init__()
        self.branches = nn.ModuleList(Sequence(branch) for branch in layer.branches)
        self.operation = operation

    def forward(self, x):
        return reduce(self.operation, [branch(x) for branch in self.branches])


class Sequence(nn.Sequential):
    """Layers of a spec one after the other."""

    def __init__(self, specs):
        super().__init__()
        for i, layer in enumerate(specs):
            module = _BUILD[type(layer)](layer)
            module.spec = layer
            self.add_module((layer.name or f"layer{i}").replace(".", "_"), module)


def _unfilled(kind, *arguments, **options):
    """Layer of `kind` with parameters and buffers that are not set: import_state fills them.

    As nn.utils.skip_init gives, which imports SymPy and more for it: half a second.
    """
    layer = kind(*arguments, device="meta", **options)
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        empty = torch.empty(tensor.shape, dtype=tensor.dtype)
        setattr(layer, name, nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty)
    return layer


def _convolution(layer):
    before, after = layer.sides
    kind = SpectralConv2D if layer.spectral else nn.Conv2d
    uneven = {} if before == after else {"sides": layer.sides}
    return _unfilled(
        _UnevenConv2D if uneven else kind,
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=0 if uneven else before,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
        **uneven,
    )


_BUILD = {
    layers.Conv: _convolution,
    layers.ConvTranspose: lambda layer: _unfilled(
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
    layers.InstanceNorm: lambda layer: InstanceNorm2D(layer.epsilon),
    layers.ReLU: lambda layer: nn.ReLU(),
    layers.ReLU6: lambda layer: nn.ReLU6(),
    layers.LeakyReLU: lambda layer: nn.LeakyReLU(layer.slope),
    layers.Sigmoid: lambda layer: nn.Sigmoid(),
    layers.MaxPool: lambda layer: nn.MaxPool2d(layer.kernel, layer.stride, layer.padding),
    layers.AveragePool: lambda layer: nn.AvgPool2d(layer.kernel, layer.stride, layer.padding),
    layers.GlobalAverage: lambda layer: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    layers.GlobalContext: lambda layer: GlobalContext(),
    layers.Upsample: lambda layer: nn.Upsample(scale_factor=layer.scale, mode=layer.mode),
    layers.Flatten: lambda layer: nn.Flatten(),
    layers.Linear: lambda layer: _unfilled(nn.Linear, layer.inputs, layer.outputs),
    layers.Dropout: Dropout,
    layers.Sum: lambda layer: Branches(layer, torch.add),
    layers.Product: lambda layer: Branches(layer, torch.mul),
}


class Net(Sequence):
    """The layers of a network."""

    def __init__(self, network):
        super().__init__(network.layers)
        self.network = network

    def set_noise(self, noise):
        """Take the photos' noise (N,) for the next pass in training."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.noise = noise

    def set_spread(self, spread):
        """Take how the photos of the next pass in training are spread over several processes."""
        for module in self.modules():
            if isinstance(module, BatchNorm2D):
                module.spread = spread

    def features(self, x, names):
        """{name: output of that layer} for a tensor x (N, C, H, W); gradients flow through them.

        Raises ValueError for a name that is not among the network's `taps`.
        """
        self.network.check_taps(names)
        found = {}
        for module in self:
            x = module(x)
            if module.spec.name in names:
                found[module.spec.name] = x
            if len(found) == len(set(names)):
                break
        return found


def build(network, state=None, device="cpu", dtype="float32"):
    """Net of `network` with `state`, by default `initialize(network)`, in evaluation mode."""
    allow_tf32(False)
    search_kernels(False)
    net = Net(network).to(
        resolve_device(device), getattr(torch, dtype), memory_format=torch.channels_last
    )
    import_state(net, initialize(network) if state is None else state)
    return net.eval()


def tensors(net):
    """{neutral name: tensor}, the net's own: batch norm's count of batches is PyTorch's alone."""
    modules = [module for module in net.modules() if hasattr(module, "spec")]
    found = {
        f"{module.spec.name}.{part}": tensor
        for module in modules
        for part, tensor in (module._parameters | module._buffers).items()
    }
    return {name: found[name] for name in net.network.state_shapes}


@torch.no_grad()
def import_state(net, state):
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in tensors(net).items():
        # of an array that cannot be written to PyTorch makes no tensor without a warning
        tensor.copy_(torch.from_numpy(np.require(state[name], requirements="CW")))


def export_state(net):
    """Neutral state {name: array} of `net`, in its precision."""
    return {name: copied(tensor) for name, tensor in tensors(net).items()}


def _tensor(net, array):
    weight = next(net.parameters())
    return torch.from_numpy(np.ascontiguousarray(array)).to(weight)


@torch.inference_mode()
def forward(net, array):
    """Output of `net` in evaluation mode for an array (N, C, H, W), an array in its precision."""
    return net.eval()(_tensor(net, array)).numpy(force=True)


@torch.inference_mode()
def features(net, array, names):
    """{name: output of that layer} of `net` in evaluation mode for an array (N, C, H, W), arrays.

    Raises ValueError for a name that is not among the network's `taps`.
    """
    found = net.eval().features(_tensor(net, array), names)
    return {name: tensor.numpy(force=True) for name, tensor in found.items()}
