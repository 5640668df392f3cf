"""From a spec to an nn.Module, its state under the neutral names, and back."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.torch.batch_norm import BatchNorm2D, Spread
from backends.torch.device import Device, allow_tf32, copied, moved, resolve_device, search_kernels
from cic.networks import Network, layers
from cic.networks.initialize import initialize
from cic.networks.spectral import EPSILON
from cic.system.arrays import Array, Integers, State
from cic.system.randomness import dropout_factors
from cic.weights.checkpoint import check


class InstanceNorm2D(nn.Module):
    """Instance norm of any number of channels, without parameters."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, eps=self.epsilon)


class SpectralConv2D(nn.Conv2d):
    """Convolution by the kernel divided by its spectral norm; one power iteration a training pass.

    See `cic.networks.spectral`.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("weight_u", self.weight.new_empty(self.out_channels))
        self.register_buffer("weight_v", self.weight.new_empty(self.weight[0].numel()))

    def forward(self, x: Tensor) -> Tensor:
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

    def __init__(self, *args: Any, sides: tuple[int, int], **options: Any) -> None:
        super().__init__(*args, **options)
        self.sides = sides * 2  # of both axes

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.sides))


class GlobalContext(nn.Module):
    """Mean over the whole picture, at every place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True).expand_as(x)


class Dropout(nn.Module):
    """Dropout that follows from the photos' noise: see `cic.system.randomness.dropout_factors`."""

    def __init__(self, layer: layers.Dropout) -> None:
        super().__init__()
        self.spec = layer
        self.noise: Integers | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        noise: Integers = self.noise  # type: ignore[assignment]
        factors = dropout_factors(noise, self.spec.name, x.shape[1:], self.spec.rate)
        return x * moved(factors, x.device).to(x.dtype)


class Branches(nn.Module):
    """The branches of a spec, put together by an operation."""

    def __init__(
        self, layer: layers.Branches, operation: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Sequence(branch) for branch in layer.branches)
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:
        return reduce(self.operation, [branch(x) for branch in self.branches])


class Sequence(nn.Sequential):
    """Layers of a spec one after the other."""

    def __init__(self, specs: Iterable[layers.Layer]) -> None:
        super().__init__()
        self.specs = tuple(specs)
        for i, layer in enumerate(self.specs):
            module = _BUILD[type(layer)](layer)
            self.add_module((layer.name or f"layer{i}").replace(".", "_"), module)


def _unfilled(kind: type[nn.Module], *arguments: int, **options: Any) -> nn.Module:
    """Return the layer of `kind` with parameters and buffers that are not set: import_state fills
    them.

    As nn.utils.skip_init gives, which imports SymPy and more for it: half a second.
    """
    layer = kind(*arguments, device="meta", **options)
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        empty = torch.empty(tensor.shape, dtype=tensor.dtype)
        setattr(layer, name, nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty)
    return layer


def _convolution(layer: layers.Conv) -> nn.Module:
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


_BUILD: dict[type[layers.Layer], Callable[[Any], nn.Module]] = {
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

    def __init__(self, network: Network) -> None:
        super().__init__(network.layers)
        self.network = network

    def set_noise(self, noise: Integers) -> None:
        """Take the photos' noise (N,) for the next pass in training."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.noise = noise

    def set_spread(self, spread: Spread | None) -> None:
        """Take how the photos of the next pass in training are spread over several processes."""
        for module in self.modules():
            if isinstance(module, BatchNorm2D):
                module.spread = spread

    def features(self, x: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return {name: output of that layer} for a tensor x (N, C, H, W); gradients flow through
        them.

        Raises ValueError for a name that is not among the network's `taps`.
        """
        self.network.check_taps(names)
        found: dict[str, Tensor] = {}
        for layer, module in zip(self.specs, self):
            x = module(x)
            if layer.name in names:
                found[layer.name] = x
            if len(found) == len(set(names)):
                break
        return found


def build(
    network: Network,
    state: State | None = None,
    device: str | Device = "cpu",
    dtype: str = "float32",
) -> Net:
    """Return the Net of `network` with `state`, by default `initialize(network)`, in evaluation
    mode.
    """
    allow_tf32(False)
    search_kernels(False)
    net = Net(network).to(resolve_device(device), getattr(torch, dtype))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    import_state(net, initialize(network) if state is None else state)
    return net.eval()


def built(net: Net) -> Iterator[tuple[layers.Layer, nn.Module]]:
    """Yield each layer with the module that was built from it, those inside others too."""
    for module in net.modules():
        if isinstance(module, Sequence):
            yield from zip(module.specs, module)


def tensors(net: Net) -> dict[str, Tensor]:
    """Return {neutral name: tensor}, the net's own: batch norm's count of batches is PyTorch's
    alone.
    """
    found = {
        f"{layer.name}.{part}": tensor
        for layer, module in built(net)
        for part, tensor in (module._parameters | module._buffers).items()
        if tensor is not None
    }
    return {name: found[name] for name in net.network.state_shapes}


@torch.no_grad()
def import_state(net: Net, state: State) -> None:
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in tensors(net).items():
        # of an array that cannot be written to PyTorch makes no tensor without a warning
        tensor.copy_(torch.from_numpy(np.require(state[name], requirements=("C", "W"))))


def export_state(net: Net) -> State:
    """Return the neutral state {name: array} of `net`, in its precision."""
    return {name: copied(tensor) for name, tensor in tensors(net).items()}


def _tensor(net: Net, array: Array) -> Tensor:
    weight = next(net.parameters())
    return torch.from_numpy(np.ascontiguousarray(array)).to(weight)


@torch.inference_mode()
def forward(net: Net, array: Array) -> Array:
    """Return the output of `net` in evaluation mode for an array (N, C, H, W), an array in its
    precision.
    """
    return net.eval()(_tensor(net, array)).numpy(force=True)


@torch.inference_mode()
def features(net: Net, array: Array, names: Collection[str]) -> State:
    """Return {name: output of that layer} of `net` in evaluation mode for an array (N, C, H, W),
    arrays.

    Raises ValueError for a name that is not among the network's `taps`.
    """
    found = net.eval().features(_tensor(net, array), names)
    return {name: tensor.numpy(force=True) for name, tensor in found.items()}
