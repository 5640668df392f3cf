"""EfficientNet-Lite with the attributes of efficientnet_lite_pytorch, written afresh.

Its padding is that of TensorFlow's "same" at every pass, so it tells whether fixed padding agrees.
"""

import torch
from torch import nn

# Kernel, first stride, expansion, outputs and blocks of the versions' stages.
LITE0 = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
LITE1 = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 40, 3), (3, 2, 6, 80, 4)),
    *((5, 1, 6, 112, 4), (5, 2, 6, 192, 5), (3, 1, 6, 320, 1)),
)
LITE2 = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 48, 3), (3, 2, 6, 88, 4)),
    *((5, 1, 6, 120, 4), (5, 2, 6, 208, 5), (3, 1, 6, 352, 1)),
)
VERSIONS = (LITE0, LITE1, LITE2)


class Same(nn.Conv2d):
    """A convolution whose output has 1 / stride of the input's sides, the odd zero behind."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x):
        sides = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride):
            spare = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [spare // 2, spare - spare // 2]
        return super().forward(nn.functional.pad(x, sides))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = Same(inputs, wide, 1), norm(wide)
        self._depthwise_conv = Same(wide, wide, kernel, stride, groups=wide)
        self._bn1 = norm(wide)
        self._project_conv, self._bn2 = Same(wide, outputs, 1), norm(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        inner = x
        if hasattr(self, "_expand_conv"):
            inner = nn.functional.relu6(self._bn0(self._expand_conv(x)))
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return inner + x if self.adds else inner


class EfficientNet(nn.Module):
    def __init__(self, version=0, classes=1000):
        super().__init__()
        self._conv_stem, self._bn0, inputs, blocks = Same(3, 32, 3, 2), norm(32), 32, []
        for kernel, stride, expansion, outputs, count in VERSIONS[version]:
            for place in range(count):
                step = stride if place == 0 else 1
                blocks.append(Block(inputs, outputs, kernel, step, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(inputs, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


@torch.no_grad()
def seeded(version=0, classes=10):
    """An EfficientNet in evaluation mode: its logits depend on the photo, its norms on channels."""
    net, random = EfficientNet(version, classes).eval(), torch.Generator().manual_seed(0)
    for name, array in net.state_dict().items():
        if array.ndim > 1:
            noise = torch.randn(array.shape, generator=random)
            array.copy_(noise * (2 / array[0].numel()) ** 0.5)
        elif array.is_floating_point():
            low, high = (-0.5, 0.5) if name.endswith(("bias", "mean")) else (0.5, 1.5)
            array.copy_(low + (high - low) * torch.rand(array.shape, generator=random))
    return net
