"""A tiny colorizer, and a classifier with its encoder; as a script, tools/train.py with them.

No bias is before a batch norm: its gradient is rounding noise, which Adam makes large.
"""

import runpy
import sys
from pathlib import Path

TRAIN = Path(__file__).parents[2] / "tools" / "train.py"

if __name__ == "__main__":
    sys.path.insert(0, str(TRAIN.parent.parent))

from cic import networks  # noqa: E402
from cic.networks.layers import BatchNorm, Conv, GlobalAverage, Linear, ReLU, Sum  # noqa: E402
from cic.networks.network import CLASSES, Network  # noqa: E402

PARTS = ("stem", "blocks.0", "blocks.1")


def encoder(channels, width):
    """Layers that shrink (channels, H, W) to (16, H / 4, W / 4)."""

    def block(name, inputs, outputs, stride):
        return (
            Conv(f"{name}.conv", inputs, outputs, stride=stride, bias=False),
            BatchNorm(f"{name}.norm", outputs),
            ReLU(),
        )

    return (
        Conv("stem", channels, width, stride=2, bias=False),
        BatchNorm("stem.norm", width),
        ReLU(),
        *block("blocks.0", width, 16, 2),
        Sum("blocks.1", (block("blocks.1", 16, 16, 1), ())),
    )


def tiny(width=8):
    """L (1, H, W) -> (313, H / 4, W / 4)."""
    head = (
        Conv("smooth", 16, 16, bias=False),
        BatchNorm("smoothnorm", 16),
        ReLU(),
        Conv("head", 16, 313),
    )
    layers = (*encoder(1, width), *head)
    return Network("tiny", layers, {"width": width}, scale=50.0, encoder=PARTS)


def tiny_classifier(width=8, classes=5):
    """RGB (3, 32, 32) -> (classes,)."""
    layers = (*encoder(3, width), GlobalAverage(), Linear("classifier", 16, classes))
    options = {"width": width, "classes": classes}
    fields = {"channels": 3, "size": 32, "space": "RGB", "mean": 0.5, "scale": 0.5}
    return Network("tiny_classifier", layers, options, predicts=CLASSES, encoder=PARTS, **fields)


NETWORKS = {"tiny": tiny, "tiny_classifier": tiny_classifier}

if __name__ == "__main__":
    networks._NETWORKS |= NETWORKS
    sys.argv[0] = str(TRAIN)
    runpy.run_path(str(TRAIN), run_name="__main__")
