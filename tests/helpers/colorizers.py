"""The colorization networks of other projects, written afresh from their layouts, of any width.

Each is in evaluation mode with weights of He's variance and batch norms whose statistics are not
trivial; the numbers of channels are those of the published networks divided by 8.
"""

from itertools import chain

import numpy as np
import paddle
import torch

from cic.colour.bins import AB

CHANNELS = (8, 16, 32, 64, 64, 64, 64, 32)  # conv1 to conv8
FULL = (64, 128, 256, 512, 512, 512, 512, 256)
PLAN = ((2, 2, 1), (2, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2), (3, 1, 2), (3, 1, 1))
WIDTH = 1 / 8


def torch_blocks(channels, extra_relu, affine=True):
    """Eight lists of torch.nn layers."""
    nn, found, inputs = torch.nn, [], 1
    for number, (count, stride, spread) in enumerate(PLAN):
        outputs, block = channels[number], []
        for place in range(count):
            step = stride if place == count - 1 else 1
            block += [nn.Conv2d(inputs, outputs, 3, step, spread, spread), nn.ReLU()]
            inputs = outputs
        block.append(nn.BatchNorm2d(outputs, affine=affine))
        found.append([*block, nn.ReLU()] if extra_relu and number == 4 else block)
    last = channels[7]
    block = [nn.ConvTranspose2d(inputs, last, 4, 2, 1), nn.ReLU()]
    block += [nn.Conv2d(last, last, 3, 1, 1), nn.ReLU(), nn.Conv2d(last, last, 3, 1, 1), nn.ReLU()]
    return [*found, [*block, nn.Conv2d(last, 313, 1)]]


class Eccv(torch.nn.Module):
    """ECCVGenerator of richzhang/colorization: (N, 1, H, W) L in 0 to 100 -> ab."""

    def __init__(self, channels=CHANNELS):
        super().__init__()
        for number, block in enumerate(torch_blocks(channels, False), 1):
            setattr(self, f"model{number}", torch.nn.Sequential(*block))
        self.model_out = torch.nn.Conv2d(313, 2, 1, bias=False)

    def logits(self, lightness):
        x = (lightness - 50) / 100
        for number in range(1, 9):
            x = getattr(self, f"model{number}")(x)
        return x

    def forward(self, lightness):
        """At a quarter of the input's size; theirs enlarges it."""
        return self.model_out(torch.softmax(self.logits(lightness), 1)) * 110


class ColorModel(torch.nn.Module):
    """Color_model of Epiphqny/Colorization: (N, 1, H, W) L - 50 -> logits / 0.38."""

    def __init__(self, channels=CHANNELS, extra_relu=True):
        super().__init__()
        self.features = torch.nn.Sequential(*chain(*torch_blocks(channels, extra_relu)))

    def logits(self, lightness):
        return self.features(lightness - 50)

    def forward(self, centred):
        return self.features(centred) / 0.38


class Deploy(torch.nn.Module):
    """DLimage_colorization's colorization_deploy_v1: L / 100 -> (ab + 128) / 256, all layers twice.

    Under its own name and, in the order of use, in `lin`.
    """

    def __init__(self, channels=CHANNELS):
        super().__init__()
        blocks = torch_blocks(channels, False)
        blocks[-1][-1] = torch.nn.Conv2d(channels[-1], 2, 1)
        for number, block in enumerate(blocks, 1):
            kernels = [layer for layer in block if hasattr(layer, "kernel_size")]
            names = [f"conv{number}_{place}" for place, _ in enumerate(kernels, 1)]
            for name, layer in zip([*names[:3], "conv_ab"], kernels):
                setattr(self, name, layer)
        for number, block in enumerate(blocks[:-1], 1):
            setattr(self, f"bn{number}", block[-1])
        enlarge = torch.nn.Upsample(scale_factor=4, mode="bicubic")
        self.lin = torch.nn.Sequential(*chain(*blocks), enlarge)

    def forward(self, lightness):
        return self.lin(lightness)


class PaddleColorModel(paddle.nn.Layer):
    """Color_model of Callifrey/Paddle-CIC: (N, 1, H, W) L - 50 -> logits."""

    def __init__(self, channels=CHANNELS):
        super().__init__()
        nn, layers, inputs = paddle.nn, [], 1
        for number, (count, stride, spread) in enumerate(PLAN):
            outputs = channels[number]
            for place in range(count):
                step = stride if place == count - 1 else 1
                convolution = nn.Conv2D(inputs, outputs, 3, step, spread, spread)
                layers += [convolution, nn.ReLU()]
                inputs = outputs
            layers.append(nn.BatchNorm2D(outputs))
            if number == 4:
                layers.append(nn.ReLU())
        last = channels[7]
        layers += [nn.Conv2DTranspose(inputs, last, 4, 2, 1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2D(last, last, 3, 1, 1), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Conv2D(last, 313, 1))

    def forward(self, centred):
        return self.features(centred)


def fill(net, seed=0):
    """The module in evaluation mode with random weights and statistics."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, array in net.state_dict().items():
            draw = torch.randn(array.shape, generator=random)
            if name.endswith("running_var"):
                array.copy_(draw.abs() + 0.5)
            elif array.ndim == 4:
                fan_in = array[0].numel() if array.shape[2] != 4 else array.shape[0] * 4
                array.copy_(draw * (2 / fan_in) ** 0.5)
            elif array.is_floating_point():
                array.copy_(draw * 0.3 + (1 if name.endswith("weight") else 0))
    return net.eval()


def eccv(seed=0, **options):
    """An Eccv whose logits are as wide as trained ones, and whose last layer has the bins."""
    net = fill(Eccv(**options), seed)
    with torch.no_grad():
        net.model1[0].weight *= 30  # its input is a hundredth
        net.model8[6].weight *= 3
        net.model_out.weight.copy_(torch.from_numpy(AB.T.reshape(2, 313, 1, 1) / np.float32(110)))
    return net


def color_model(seed=0, **options):
    """A ColorModel; its first layer takes numbers of up to 50."""
    net = fill(ColorModel(**options), seed)
    with torch.no_grad():
        net.features[0].weight /= 20
    return net


def to_paddle(net):
    """The PaddleColorModel with the arrays of a ColorModel."""
    other = PaddleColorModel()
    other.eval()
    names = {"running_mean": "_mean", "running_var": "_variance"}
    arrays = {}
    for name, array in net.state_dict().items():
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            arrays[f"{layer}.{names.get(part, part)}"] = array.numpy()
    assert other.set_state_dict(arrays) == ([], [])
    return other
