"""From a spec to a paddle.nn.Layer, its state under the neutral names, and back."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import reduce
from typing import Any, overload

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from backends.paddle.batch_norm import BatchNorm2D, Spread
from backends.paddle.device import Device, allow_tf32, copied, moved, resolve_device, search_kernels
from cic.networks import Network, layers
from cic.networks.initialize import initialize
from cic.networks.spectral import EPSILON
from cic.system.arrays import Array, Integers, State
from cic.system.randomness import dropout_factors
from cic.weights.checkpoint import check

_ZERO = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))  # import_state fills them
_NEUTRAL_NAMES = {"_mean": "running_mean", "_variance": "running_var"}


@overload
def _like(parameter: Tensor, x: Tensor) -> Tensor: ...
@overload
def _like(parameter: None, x: Tensor) -> None: ...
def _like(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    """Return a parameter, or None, in the precision of what it meets.

    Paddle's autocast leaves activations in float32: it casts a convolution, adds a float32 bias to
    it, and promotes. So a network computes in the precision of its input, whatever its own.
    """
    if parameter is None or parameter.dtype == x.dtype:
        return parameter
    return parameter.astype(x.dtype)


class _Conv2D(nn.Conv2D):
    """Convolution in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dtype == x.dtype:
            return super().forward(x)
        weight, bias = _like(self.weight, x), _like(self.bias, x)
        return F.conv2d(x, weight, bias, self._stride, self._padding, self._dilation, self._groups)


class _Conv2DTranspose(nn.Conv2DTranspose):
    """Transposed convolution in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if self.weight.dtype == x.dtype:
            return super().forward(x)
        weight, bias = _like(self.weight, x), _like(self.bias, x)
        return F.conv2d_transpose(x, weight, bias, self._stride, self._padding)


class InstanceNorm2D(nn.Layer):
    """Instance norm of any number of channels, without parameters."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, eps=self.epsilon)


class _ReLU(nn.Layer):
    """x, or 0 where it is negative, at most `most`; NaN stays NaN in evaluation, without gradients.

    Paddle's own makes 0 of NaN (3.3.1, on every device): a network whose numbers overflow would
    give a picture. It is taken where gradients need it, and where `only_finite` is set: it is
    faster in the inference engine.
    """

    def __init__(self, most: float | None = None) -> None:
        super().__init__()
        self.most, self.only_finite = most, False

    def forward(self, x: Tensor) -> Tensor:
        gradients = paddle.in_dynamic_mode() and paddle.is_grad_enabled()
        if self.training or gradients or self.only_finite:
            return F.relu(x) if self.most is None else F.relu6(x)
        y = paddle.maximum(paddle.zeros([1], x.dtype), x)
        return y if self.most is None else paddle.minimum(paddle.full([1], self.most, x.dtype), y)


class _LeakyReLU(nn.Layer):
    """x, or `slope` times x where it is negative.

    Paddle's inference engine crashes where its own follows a convolution (3.3.1, oneDNN).
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return paddle.maximum(x, self.slope * x)


class SpectralConv2D(nn.Conv2D):
    """Convolution by the kernel divided by its spectral norm; one power iteration a training pass.

    See `cic.networks.spectral`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        outputs, *rest = self.weight.shape
        self.register_buffer("weight_u", paddle.zeros([outputs], self.weight.dtype))
        self.register_buffer("weight_v", paddle.zeros([int(np.prod(rest))], self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1)
        if self.training:
            self._iterate(matrix)
        u, v = self.weight_u.clone(), self.weight_v.clone()  # another pass changes them in place
        weight = self.weight / paddle.dot(u, paddle.mv(matrix, v))  # in full precision
        weight, bias = _like(weight, x), _like(self.bias, x)
        return F.conv2d(x, weight, bias, self._stride, self._padding, self._dilation, self._groups)

    @paddle.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        v = paddle.mv(matrix.T, self.weight_u)
        self.weight_v.set_value(v / (paddle.linalg.norm(v) + EPSILON))
        u = paddle.mv(matrix, self.weight_v)
        self.weight_u.set_value(u / (paddle.linalg.norm(u) + EPSILON))


class GlobalContext(nn.Layer):
    """Mean over the whole picture, at every place.

    By a pool: at a mean over two axes the inference engine prints a line (3.3.1, oneDNN).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 1).expand_as(x)


class _BilinearUpsample(nn.Layer):
    """Bilinear enlargement, as a trilinear one of a single slice.

    Paddle's inference engine cannot run its own bilinear one (3.3.1, oneDNN).
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = [1, scale, scale]

    def forward(self, x: Tensor) -> Tensor:
        slices = x.unsqueeze(2)
        y = F.interpolate(slices, None, self.scale, "trilinear", data_format="NCDHW")
        return y.squeeze(2)


class Dropout(nn.Layer):
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
        device = "cpu" if x.place.is_cpu_place() else f"gpu:{x.place.gpu_device_id()}"
        return x * moved(factors, device).astype(x.dtype)


class _Linear(nn.Layer):
    """Linear layer whose weight is (out, in), as PyTorch's and the neutral one; Paddle's is not."""

    def __init__(self, layer: layers.Linear) -> None:
        super().__init__()
        self.weight = self.create_parameter([layer.outputs, layer.inputs], attr=_ZERO)
        self.bias = self.create_parameter([layer.outputs], is_bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return paddle.matmul(x, _like(self.weight, x), transpose_y=True) + _like(self.bias, x)


class Branches(nn.Layer):
    """The branches of a spec, put together by an operation."""

    def __init__(
        self, layer: layers.Branches, operation: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.branches = nn.LayerList([Sequence(branch) for branch in layer.branches])
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
            self.add_sublayer((layer.name or f"layer{i}").replace(".", "_"), module)

    # No tensor decides which code runs: the inference engine traces the layers as they are, and
    # does not translate the source of each, which takes a second or two.
    @paddle.jit.not_to_static
    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x


def _convolution(layer: layers.Conv) -> nn.Layer:
    return (SpectralConv2D if layer.spectral else _Conv2D)(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=list(layer.sides * 2),
        dilation=layer.dilation,
        groups=layer.groups,
        weight_attr=_ZERO,
        bias_attr=None if layer.bias else False,
    )


def _upsample(layer: layers.Upsample) -> nn.Layer:
    if layer.mode == "bilinear":
        return _BilinearUpsample(layer.scale)
    return nn.Upsample(scale_factor=layer.scale, mode=layer.mode)


_BUILD: dict[type[layers.Layer], Callable[[Any], nn.Layer]] = {
    layers.Conv: _convolution,
    layers.ConvTranspose: lambda layer: _Conv2DTranspose(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        weight_attr=_ZERO,
    ),
    layers.BatchNorm: lambda layer: BatchNorm2D(
        layer.channels, epsilon=layer.epsilon, momentum=1 - layer.momentum
    ),
    layers.InstanceNorm: lambda layer: InstanceNorm2D(layer.epsilon),
    layers.ReLU: lambda layer: _ReLU(),
    layers.ReLU6: lambda layer: _ReLU(6.0),
    layers.LeakyReLU: lambda layer: _LeakyReLU(layer.slope),
    layers.Sigmoid: lambda layer: nn.Sigmoid(),
    layers.MaxPool: lambda layer: nn.MaxPool2D(layer.kernel, layer.stride, layer.padding),
    layers.AveragePool: lambda layer: nn.AvgPool2D(
        layer.kernel, layer.stride, layer.padding, exclusive=False
    ),
    layers.GlobalAverage: lambda layer: nn.Sequential(nn.AdaptiveAvgPool2D(1), nn.Flatten()),
    layers.GlobalContext: lambda layer: GlobalContext(),
    layers.Upsample: _upsample,
    layers.Flatten: lambda layer: nn.Flatten(),
    layers.Linear: _Linear,
    layers.Dropout: Dropout,
    layers.Sum: lambda layer: Branches(layer, paddle.add),
    layers.Product: lambda layer: Branches(layer, paddle.multiply),
}


class Net(Sequence):
    """The layers of a network."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.layers)
        self.network = network

    def set_noise(self, noise: Integers) -> None:
        """Take the photos' noise (N,) for the next pass in training."""
        for module in self.sublayers():
            if isinstance(module, Dropout):
                module.noise = noise

    def set_spread(self, spread: Spread | None) -> None:
        """Take how the photos of the next pass in training are spread over several processes."""
        for module in self.sublayers():
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
    paddle.set_device(resolve_device(device))
    allow_tf32(False)
    search_kernels(False)
    net = Net(network).to(dtype=getattr(paddle, dtype))
    import_state(net, initialize(network) if state is None else state)
    net.eval()
    return net


def built(net: Net) -> Iterator[tuple[layers.Layer, nn.Layer]]:
    """Yield each layer with the module that was built from it, those inside others too."""
    for module in net.sublayers(include_self=True):
        if isinstance(module, Sequence):
            yield from zip(module.specs, module)


def tensors(net: Net) -> dict[str, Tensor]:
    """Return {neutral name: tensor}, the net's own."""
    found = {
        f"{layer.name}.{_NEUTRAL_NAMES.get(part, part)}": tensor
        for layer, module in built(net)
        for part, tensor in (module._parameters | module._buffers).items()
        if tensor is not None
    }
    return {name: found[name] for name in net.network.state_shapes}


def import_state(net: Net, state: State) -> None:
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in tensors(net).items():
        dtype = str(tensor.dtype).removeprefix("paddle.")
        tensor.set_value(np.ascontiguousarray(state[name], dtype))


def export_state(net: Net) -> State:
    """Return the neutral state {name: array} of `net`, in its precision."""
    return {name: copied(tensor) for name, tensor in tensors(net).items()}


def _tensor(net: Net, array: Array) -> Tensor:
    weight = net.parameters()[0]
    return paddle.to_tensor(array, dtype=weight.dtype, place=weight.place)


@paddle.no_grad()
def forward(net: Net, array: Array) -> Array:
    """Return the output of `net` in evaluation mode for an array (N, C, H, W), an array in its
    precision.
    """
    net.eval()
    return net(_tensor(net, array)).numpy()


@paddle.no_grad()
def features(net: Net, array: Array, names: Collection[str]) -> State:
    """Return {name: output of that layer} of `net` in evaluation mode for an array (N, C, H, W),
    arrays.

    Raises ValueError for a name that is not among the network's `taps`.
    """
    net.eval()
    found = net.features(_tensor(net, array), names)
    return {name: tensor.numpy() for name, tensor in found.items()}
