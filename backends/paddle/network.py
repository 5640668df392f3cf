"""From a spec to a paddle.nn.Layer and its state under the neutral names, and back."""

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from backends.paddle import distributed
from backends.paddle.device import resolve_device
from cic import layers
from cic.checkpoint import check
from cic.initialize import initialize

_ZERO = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))  # import_state fills them
_PADDLE_NAMES = {"running_mean": "_mean", "running_var": "_variance"}


class BatchNorm2D(nn.BatchNorm2D):
    """Batch norm whose statistics are those of all processes' photos together.

    The running variance takes the unbiased variance, as PyTorch's and Caffe's. The kernel's own
    momentum is float32 and its running variance biased, so it only gives the batch's statistics
    here (momentum 0) and the running ones are updated in the net's precision.
    """

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return self._together(x) if distributed.size() > 1 else self._alone(x)

    def _alone(self, x):
        mean, variance = paddle.zeros_like(self._mean), paddle.zeros_like(self._variance)
        out = F.batch_norm(
            x, mean, variance, self.weight, self.bias, True, momentum=0.0, epsilon=self._epsilon
        )
        count = x.size // x.shape[1]
        share = 1 - self._momentum
        self._update(self._mean, mean, share)
        self._update(self._variance, variance * (count / max(count - 1, 1)), share)
        return out

    def _together(self, x):
        inputs = x.astype(self._mean.dtype)
        count = paddle.to_tensor([inputs.size // inputs.shape[1]], inputs.dtype)
        sums = distributed.total(paddle.concat([inputs.sum((0, 2, 3)), count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count.clip(min=1)
        centred = inputs - mean[:, None, None]
        variance = distributed.total(centred.square().sum((0, 2, 3))) / count.clip(min=1)
        share = (1 - self._momentum) * (count > 0).astype(count.dtype)  # none may have had a photo
        self._update(self._mean, mean, share)
        self._update(self._variance, variance * (count / (count - 1).clip(min=1)), share)
        scale = self.weight * paddle.rsqrt(variance + self._epsilon)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).astype(x.dtype)

    @paddle.no_grad()
    def _update(self, running, batch, share):
        running.set_value(running * (1 - share) + batch * share)


class _Linear(nn.Layer):
    """Linear layer whose weight is (out, in), as PyTorch's and the neutral one; Paddle's is not."""

    def __init__(self, layer):
        super().__init__()
        self.weight = self.create_parameter([layer.outputs, layer.inputs], attr=_ZERO)
        self.bias = self.create_parameter([layer.outputs], is_bias=True)

    def forward(self, x):
        return paddle.matmul(x, self.weight, transpose_y=True) + self.bias


_BUILD = {
    layers.Conv: lambda layer: nn.Conv2D(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        weight_attr=_ZERO,
    ),
    layers.ConvTranspose: lambda layer: nn.Conv2DTranspose(
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
    layers.ReLU: lambda layer: nn.ReLU(),
    layers.MaxPool: lambda layer: nn.MaxPool2D(layer.kernel, layer.stride),
    layers.Flatten: lambda layer: nn.Flatten(),
    layers.Linear: _Linear,
}


class Net(nn.Sequential):
    """The layers of a spec, each under its neutral name."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        for i, layer in enumerate(network.layers):
            self.add_sublayer(getattr(layer, "name", f"layer{i}"), _BUILD[type(layer)](layer))


def build(network, state=None, device="cpu", dtype="float32"):
    """Net of `network` with `state`, by default `initialize(network)`, in evaluation mode."""
    paddle.set_device(resolve_device(device))
    net = Net(network).to(dtype=dtype)
    import_state(net, initialize(network) if state is None else state)
    net.eval()
    return net


def arrays(net):
    """{neutral name: tensor}."""
    state = net.state_dict()
    tensors = {}
    for name in net.network.state_shapes:
        layer, _, part = name.rpartition(".")
        tensors[name] = state[f"{layer}.{_PADDLE_NAMES.get(part, part)}"]
    return tensors


def import_state(net, state):
    """Put the neutral `state` into `net`; raises CheckpointError unless it fits exactly."""
    check(net.network, state)
    for name, tensor in arrays(net).items():
        dtype = str(tensor.dtype).removeprefix("paddle.")
        tensor.set_value(np.ascontiguousarray(state[name], dtype))


def export_state(net):
    """Neutral state {name: array} of `net`, in its precision."""
    return {name: tensor.numpy().copy() for name, tensor in arrays(net).items()}


@paddle.no_grad()
def forward(net, array):
    """Output of `net` in evaluation mode for an array (N, C, H, W), an array in its precision."""
    weight = net.parameters()[0]
    net.eval()
    return net(paddle.to_tensor(array, dtype=weight.dtype, place=weight.place)).numpy()
