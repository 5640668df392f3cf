"""VGG-16, classifiers: as published, and on unusual input as colorization GANs use them."""

from typing import Any

from cic.networks.layers import (
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    ReLU,
)
from cic.networks.network import (
    CLASSES,
    DROPOUT,
    Network,
    check_choice,
    check_classes,
    of_photos,
    scaled,
)

# Convolutions and channels of conv1 ... conv5 (Simonyan and Zisserman 2015, table 1, column D).
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
HIDDEN = 4096  # numbers between fc6, fc7 and fc8
SHRINKS = 32  # pixels of the input a side for one of what the linear layers see
# The Network's fields for the input that torchvision and Paddle trained with: of the pixels' red,
# green and blue in 0 to 1 the mean and the deviation.
IMAGENET: dict[str, Any] = {
    "channels": 3,
    "space": "RGB",
    "mean": (0.485, 0.456, 0.406),
    "scale": (0.229, 0.224, 0.225),
}
VARIANTS = ("plain", "bn", "fc")


def _head(inputs: int, hidden: int, classes: int) -> list[Layer]:
    """Return the linear layers, for `inputs` numbers."""
    return [
        Flatten(),
        Linear("fc6", inputs, hidden), ReLU("relu6"), Dropout("drop6", DROPOUT),
        Linear("fc7", hidden, hidden), ReLU("relu7"), Dropout("drop7", DROPOUT),
        Linear("fc8", hidden, classes),
    ]  # fmt: skip


def _pooled(
    channels: int, width: float, norm: bool, last_pool: type[MaxPool]
) -> tuple[list[Layer], int]:
    """Return (convolutions with their ReLUs and pools, channels that they put out)."""
    channels_of, inputs = scaled(width), channels
    layers: list[Layer] = []
    for block, (convolutions, outputs) in enumerate(BLOCKS, 1):
        for i in range(1, convolutions + 1):
            layers.append(Conv(f"conv{block}_{i}", inputs, channels_of(outputs)))
            inputs = channels_of(outputs)
            if norm:
                layers.append(BatchNorm(f"conv{block}_{i}norm", inputs))
            layers.append(ReLU(f"relu{block}_{i}"))
        pool = MaxPool if block < len(BLOCKS) else last_pool
        layers.append(pool(name=f"pool{block}"))
    return layers, inputs


def _strided(channels: int, width: float, spectral: bool) -> tuple[list[Layer], int]:
    """As `_pooled`, fully convolutional: spectral norms, strides for pools, LeakyReLU.

    Neither the first nor the last convolution has a batch norm.
    """
    channels_of, inputs = scaled(width), channels
    layers: list[Layer] = []
    for block, (convolutions, outputs) in enumerate((*BLOCKS, (1, BLOCKS[-1][1])), 1):
        for i in range(1, convolutions + 1):
            stride = 2 if block > 1 and i == 1 else 1
            name = f"{block}_{i}"
            layers.append(
                Conv(f"conv{name}", inputs, channels_of(outputs), stride=stride, spectral=spectral)
            )
            inputs = channels_of(outputs)
            if name not in ("1_1", "6_1"):
                layers.append(BatchNorm(f"conv{name}norm", inputs))
            layers.append(LeakyReLU(f"relu{name}"))
    return layers, inputs


def vgg16(classes: int = 1000, width: float = 1.0) -> Network:
    """VGG-16, a classifier: sRGB (3, 224, 224) -> a logit for each of the `classes`, (classes,).

    Names are those of the authors' Caffe model. `width` is that of `cic`: 1 is the paper's.
    """
    check_classes(classes, size := 7 * SHRINKS)
    layers, last = _pooled(3, width, False, MaxPool)
    layers += _head(last * 7 * 7, scaled(width)(HIDDEN), classes)
    return Network(
        "vgg16",
        tuple(layers),
        {"classes": classes, "width": width},
        multiple=SHRINKS,
        size=size,
        predicts=CLASSES,
        **IMAGENET,
    )


def special_vgg16(
    space: str = "Gray",
    variant: str = "fc",
    classes: int = 1000,
    width: float = 1.0,
    size: int = 224,
    spectral: bool = True,
) -> Network:
    """VGG-16 on an unusual `space`: Gray, Lab, ab or RGB (C, size, size) -> logits (classes,).

    The networks of zhaoyuzhi/PyTorch-Special-Pre-trained-Models: "plain", "bn" with batch norm, or
    "fc", fully convolutional with batch and spectral norm (its `*_FC_BN`). The last pool of the
    first two is a mean. `size` is a multiple of 32; theirs is 224. Without `spectral`, "fc" has
    plain kernels, into which the norms of a trained one can be folded.
    """
    check_choice("spectral", spectral, (True, False))
    check_choice("variant", variant, VARIANTS)
    check_classes(classes, size, SHRINKS)
    fields = of_photos(space)
    if variant == "fc":
        layers, last = _strided(fields["channels"], width, spectral)
    else:
        layers, last = _pooled(fields["channels"], width, variant == "bn", AveragePool)
    layers += _head(last * (size // SHRINKS) ** 2, scaled(width)(HIDDEN), classes)
    options: dict[str, Any] = {"space": space, "variant": variant}
    options |= {"classes": classes, "width": width, "size": size, "spectral": spectral}
    return Network(
        "special_vgg16",
        tuple(layers),
        options,
        multiple=SHRINKS,
        size=size,
        predicts=CLASSES,
        **fields,
    )
