"""How a network's cells lie on what it sees of a photo."""

from dataclasses import dataclass

from cic.colour.lab import rgb_to_lab
from cic.system.arrays import Array, Bytes, Floats

STRIDE = 4  # pixels a side of a cell of the paper's network


@dataclass(frozen=True)
class Grid:
    """How a network's cells lie on what it sees: squares of `stride` pixels a side.

    Training took the ab of a cell's first pixel, as the authors did, or with `mean` the mean over
    the cell. The network's values belong to that place.
    """

    stride: int = STRIDE
    mean: bool = False

    @property
    def place(self) -> float:
        """Where a cell's values belong, in cells from its upper left corner."""
        return 0.5 if self.mean else 0.5 / self.stride

    def sample(self, values: Array) -> Array:
        """Values (H, W, ...) of what the network sees -> (h, w, ...), as training took them.

        H and W are multiples of the stride.
        """
        s = self.stride
        if not self.mean:
            return values[::s, ::s]
        height, width = values.shape[:2]
        return values.reshape(height // s, s, width // s, s, *values.shape[2:]).mean((1, 3))

    def ab(self, rgb: Bytes) -> Floats:
        """Return ab (h, w, 2) float32 of the cells of (H, W, 3) uint8, as training took them.

        Means are taken in CIELAB, where the distances are those that the loss is made of.
        """
        if self.mean:
            return self.sample(rgb_to_lab(rgb)[..., 1:])
        return rgb_to_lab(self.sample(rgb))[..., 1:]


EVERY_FOURTH = Grid()  # the authors'
