"""VGG-16 as the model zoos of PyTorch and Paddle have it, written afresh and of any width."""

import numpy as np
import paddle
import torch

CFG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
WIDTH = 1 / 32
CHANNELS = {64: 8, 128: 8, 256: 8, 512: 16}  # of that width


class TorchVGG(torch.nn.Module):
    """torchvision.models.vgg16, whose `features` and `classifier` name the arrays."""

    def __init__(self, channels=CHANNELS, hidden=128, classes=10):
        super().__init__()
        nn, layers, inputs = torch.nn, [], 3
        for entry in CFG:
            if entry == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            layers += [nn.Conv2d(inputs, channels[entry], kernel_size=3, padding=1), nn.ReLU(True)]
            inputs = channels[entry]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        sizes = ((inputs * 49, hidden), (hidden, hidden), (hidden, classes))
        first, second, last = (nn.Linear(*size) for size in sizes)
        rest = (nn.ReLU(True), nn.Dropout(), second, nn.ReLU(True), nn.Dropout(), last)
        self.classifier = nn.Sequential(first, *rest)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class PaddleVGG(paddle.nn.Layer):
    """paddle.vision.models.vgg16 likewise; its linear layers are (in, out)."""

    def __init__(self, channels=CHANNELS, hidden=128, classes=10):
        super().__init__()
        nn, layers, inputs = paddle.nn, [], 3
        for entry in CFG:
            if entry == "M":
                layers.append(nn.MaxPool2D(kernel_size=2, stride=2))
                continue
            layers += [nn.Conv2D(inputs, channels[entry], kernel_size=3, padding=1), nn.ReLU()]
            inputs = channels[entry]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2D((7, 7))
        sizes = ((inputs * 49, hidden), (hidden, hidden), (hidden, classes))
        first, second, last = (nn.Linear(*size) for size in sizes)
        rest = (nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Dropout(), last)
        self.classifier = nn.Sequential(first, *rest)

    def forward(self, x):
        return self.classifier(paddle.flatten(self.avgpool(self.features(x)), 1))


def seeded(seed=0, **options):
    """A TorchVGG in evaluation mode whose logits depend on the photo: He's variance, some bias."""
    net, random = TorchVGG(**options).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for array in net.parameters():
            fan_in = array[0].numel()
            scale = (2 / fan_in) ** 0.5 if array.ndim > 1 else 0.1
            array.copy_(torch.randn(array.shape, generator=random) * scale)
    return net


def to_paddle(net):
    """The PaddleVGG with the arrays of a TorchVGG of the usual size."""
    other = PaddleVGG()
    other.eval()
    arrays = {name: array.numpy() for name, array in net.state_dict().items()}
    problems = other.set_state_dict(
        {
            name: np.ascontiguousarray(array.T) if name[0] == "c" and array.ndim == 2 else array
            for name, array in arrays.items()
        }
    )
    assert problems == ([], [])
    return other
