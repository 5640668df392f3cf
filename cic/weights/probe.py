"""Try weights on a small picture as they are loaded, in NumPy: do they give finite numbers?

Each weight may be sane and all together overflow. Looking at results alone does not suffice:
Paddle's ReLU turns NaN into 0 (3.3.1: relu(nan) == 0), so a network whose numbers overflowed gives
finite logits and a picture of one colour.
"""

from collections.abc import Mapping

import numpy as np

from cic.networks import Network
from cic.networks.forward import forward
from cic.system.arrays import Array, Bytes
from cic.weights.checkpoint import CheckpointError

SIDES = 4  # times what the network's strides ask for: 32 pixels for the paper's


def check(network: Network, state: Mapping[str, Array], source: object) -> None:
    """Raise CheckpointError, naming `source`, unless the output for a picture is usable.

    It must be finite, and not the same at every place of it. 10 to 40 ms for the networks that
    colorize.
    """
    side = network.size or SIDES * network.multiple
    with np.errstate(all="ignore"):
        output = forward(network, state, network.inputs(picture(side))[None].astype(np.float32))
    if not np.isfinite(output).all():
        raise CheckpointError(
            f"{source}: what its network says of a picture is not finite: its numbers are too large"
        )
    if output.ndim == 4 and output[0, 0].size > 1 and not np.ptp(output, axis=(2, 3)).any():
        raise CheckpointError(
            f"{source}: its network says the same of every place of a picture: its kernels are "
            "empty, or far too small"
        )


def picture(side: int) -> Bytes:
    """Return (side, side, 3) uint8 of every gray, beside it black and white in a pattern of 1
    pixel.
    """
    row, column = np.indices((side, side))
    gray = np.where(row < side // 2, 255 * column // (side - 1), 255 * ((row + column) % 2))
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
