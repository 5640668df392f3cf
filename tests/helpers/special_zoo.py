"""The networks of PyTorch-Special-Pre-trained-Models, their layout written afresh, of any width.

Attributes and positions in sequences are theirs, so the state dicts have the names of their files.
"""

import torch
from torch import nn

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
DEPTHS[152] = (3, 8, 36, 3)


def channels_of(width):
    return lambda channels: max(8, round(channels * width / 8) * 8)


class SpectralNorm(nn.Module):
    """Theirs: one power iteration at every pass, in evaluation too; weight_bar, _u and _v."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        weight = module.weight.data
        del module._parameters["weight"]
        unit = nn.functional.normalize
        u, v = (unit(torch.randn(n), dim=0) for n in (len(weight), weight[0].numel()))
        module.weight_u = nn.Parameter(u, requires_grad=False)
        module.weight_v = nn.Parameter(v, requires_grad=False)
        module.weight_bar = nn.Parameter(weight)

    def forward(self, x):
        conv, bar = self.module, self.module.weight_bar
        matrix = bar.flatten(1)
        with torch.no_grad():
            for vector, found in (
                (conv.weight_v, lambda: matrix.T @ conv.weight_u),
                (conv.weight_u, lambda: matrix @ conv.weight_v),
            ):
                value = found()
                vector.copy_(value / (value.norm() + 1e-12))
        conv.weight = bar / conv.weight_u.dot(matrix @ conv.weight_v)
        return conv(x)


def classifier(inputs, hidden, classes):
    sizes = ((inputs, hidden), (hidden, hidden), (hidden, classes))
    first, second, last = (nn.Linear(*size) for size in sizes)
    rest = (nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Dropout(), last)
    return nn.Sequential(first, *rest)


class VGG16(nn.Module):
    """GrayVGG16, LabVGG16, ... (`norm` False) and their _BN: convolutions apart from pools."""

    def __init__(self, channels, norm, width, classes, size):
        super().__init__()
        of, inputs = channels_of(width), channels
        for block, (convolutions, outputs) in enumerate(BLOCKS, 1):
            layers = []
            for i in range(convolutions):
                layers.append(nn.Conv2d(inputs, of(outputs), 3, padding=1))
                inputs = of(outputs)
                after = [nn.BatchNorm2d(inputs)] if norm else []
                after.append(nn.ReLU())
                layers += after if i < convolutions - 1 else []
            pool = nn.MaxPool2d(2, 2) if block < 5 else nn.AdaptiveAvgPool2d(size // 32)
            setattr(self, f"conv{block}", nn.Sequential(*layers))
            setattr(self, f"pool{block}", nn.Sequential(*after, pool))
        self.classifier = classifier(inputs * (size // 32) ** 2, of(4096), classes)

    def forward(self, x):
        for block in range(1, 6):
            x = getattr(self, f"pool{block}")(getattr(self, f"conv{block}")(x))
        return self.classifier(x.flatten(1))


class VGG16FC(nn.Module):
    """GrayVGG16_FC_BN, LabVGG16_FC_BN, ...: strides for pools."""

    def __init__(self, channels, width, classes, size):
        super().__init__()
        of, inputs = channels_of(width), channels
        for block, (convolutions, outputs) in enumerate((*BLOCKS, (1, 512)), 1):
            layers = []
            for i in range(convolutions):
                stride = 2 if i == 0 and block > 1 else 1
                conv = nn.Conv2d(inputs, of(outputs), 3, stride=stride, padding=1)
                layers.append(SpectralNorm(conv))
                inputs = of(outputs)
                if (block, i) not in ((1, 0), (6, 0)):
                    layers.append(nn.BatchNorm2d(inputs))
                layers.append(nn.LeakyReLU(0.2))
            setattr(self, f"conv{block}", nn.Sequential(*layers))
        self.classifier = classifier(inputs * (size // 32) ** 2, of(4096), classes)

    def forward(self, x):
        for block in range(1, 7):
            x = getattr(self, f"conv{block}")(x)
        return self.classifier(x.flatten(1))


def convolution(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, planes, stride, downsample, norm, activation, gated):
        super().__init__()
        self.conv1 = convolution(inputs, planes, 3, stride)
        if gated:
            self.conv1_gate = convolution(inputs, planes, 3, stride)
        self.bn1, self.act = norm(planes), activation
        self.conv2 = convolution(planes, planes, 3)
        if gated:
            self.conv2_gate = convolution(planes, planes, 3)
        self.bn2, self.downsample, self.gated = norm(planes), downsample, gated

    def forward(self, x):
        out = self.conv1(x)
        if self.gated:
            out = out * torch.sigmoid(self.conv1_gate(x))
        out = self.conv2(self.act(self.bn1(out)))
        if self.gated:
            out = out * torch.sigmoid(self.conv2_gate(out))
        return self.act(self.bn2(out) + (self.downsample(x) if self.downsample else x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride, downsample, norm, activation, gated):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, planes, 1), norm(planes)
        self.conv2, self.bn2 = convolution(planes, planes, 3, stride), norm(planes)
        self.conv3, self.bn3 = convolution(planes, 4 * planes, 1), norm(4 * planes)
        self.act, self.downsample = activation, downsample

    def forward(self, x):
        out = self.act(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.act(self.bn2(self.conv2(out)))))
        return self.act(out + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    """Theirs: a stem of 7 x 7 and 4 x 4, `last`, LeakyReLU; gated blocks have ReLU."""

    def __init__(
        self, depth, channels, norm, width, classes, stem_stride=1, last=True, gated=False
    ):
        super().__init__()
        of = channels_of(width)
        norm = nn.InstanceNorm2d if norm == "instance" else nn.BatchNorm2d
        block = Bottleneck if depth >= 50 else BasicBlock
        self.inputs, self.norm, self.gated = of(64), norm, gated
        self.activation = nn.ReLU() if gated else nn.LeakyReLU(0.2)
        stem = [nn.Conv2d(channels, of(64), 7, stem_stride, 3, bias=False), nn.LeakyReLU(0.2)]
        for _ in range(2 if stem_stride == 1 else 1):
            stem += [nn.Conv2d(of(64), of(64), 4, 2, 1, bias=False), norm(of(64))]
            stem.append(nn.LeakyReLU(0.2))
        self.begin = nn.Sequential(*stem)
        for stage, (blocks, planes) in enumerate(zip(DEPTHS[depth], (64, 128, 256, 512)), 1):
            layers = self.stage(block, of(planes), blocks, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", layers)
        if last:
            self.last = nn.Sequential(convolution(self.inputs, of(512), 3), nn.LeakyReLU(0.2))
        self.classifier = nn.Linear(of(512) if last else self.inputs, classes)

    def stage(self, block, planes, blocks, stride):
        layers, outputs = [], planes * block.expansion
        for i in range(blocks):
            step, down = stride if i == 0 else 1, None
            if step != 1 or self.inputs != outputs:
                down = convolution(self.inputs, outputs, 1, step), self.norm(outputs)
                down = nn.Sequential(*down)
            rest = (self.norm, self.activation, self.gated)
            layers.append(block(self.inputs, planes, step, down, *rest))
            self.inputs = outputs
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.begin(x)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        x = self.last(x) if hasattr(self, "last") else x
        return self.classifier(x.mean((2, 3)))


class PlainResNet(nn.Module):
    """torchvision's ResNets."""

    def __init__(self, depth, width, classes):
        super().__init__()
        of, block = channels_of(width), Bottleneck if depth >= 50 else BasicBlock
        self.inputs, self.norm, self.gated = of(64), nn.BatchNorm2d, False
        self.activation = nn.ReLU()
        self.conv1, self.bn1 = nn.Conv2d(3, of(64), 7, 2, 3, bias=False), nn.BatchNorm2d(of(64))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, (blocks, planes) in enumerate(zip(DEPTHS[depth], (64, 128, 256, 512)), 1):
            layers = ResNet.stage(self, block, of(planes), blocks, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", layers)
        self.fc = nn.Linear(self.inputs, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def seeded(net, seed=0):
    """The net in evaluation mode, every array random: kernels He's, statistics not trivial."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, array in net.state_dict().items():
            if not array.is_floating_point():
                continue
            drawn = torch.randn(array.shape, generator=random)
            if array.ndim > 1:
                array.copy_(drawn * (2 / array[0].numel()) ** 0.5)
            elif name.endswith(("weight_u", "weight_v")):
                array.copy_(drawn / drawn.norm())
            elif name.endswith("running_var"):
                array.copy_(drawn.square() + 0.5)
            elif name.endswith("weight"):
                array.copy_(1 + 0.2 * drawn)
            else:
                array.copy_(0.2 * drawn)
    return net.eval()


def arrays_of(net):
    """[{last part of the name: array}] of each of the net's layers that have some, in order."""
    found = []
    for module in net.modules():
        own = {**module._parameters, **module._buffers}
        own = {name: array.detach().numpy() for name, array in own.items() if array is not None}
        own.pop("num_batches_tracked", None)
        if own:
            found.append(own)
    return found


def neutral(network, net):
    """Neutral state of `net`, whose layers are in the order of `network`'s."""
    layers = [
        layer for layer in network.flat if layer.parameters and not hasattr(layer, "branches")
    ]
    theirs, state = arrays_of(net), {}
    assert len(layers) == len(theirs)
    for layer, arrays in zip(layers, theirs):
        for name, array in arrays.items():
            state[f"{layer.name}.{name.replace('weight_bar', 'weight')}"] = array
    return state
