"""Measure whether colour ends where things end: the ab error beside strong edges of lightness."""

import numpy as np
from PIL import Image, ImageFilter

from cic.colour.lab import ab_distance, rgb_to_lab
from cic.system.arrays import Array, Bytes, Truths

STRONG = 20.0  # L a pixel, central differences: the sharp outlines of things, about 5 % of a photo
NEAR = 4  # pixels each way


def beside_edges(light: Array, strong: float = STRONG, near: int = NEAR) -> Truths:
    """Return the mask (H, W) of the pixels within a square of `near` pixels each way of a strong
    edge.

    `light` is (H, W), L; both sides are 2 pixels or more.
    """
    down, across = np.gradient(light)
    edges = Image.fromarray(np.hypot(down, across) >= strong).convert("L")
    return np.asarray(edges.filter(ImageFilter.MaxFilter(2 * near + 1))) > 0


class Bleeding:
    """Mean ab error beside strong edges and elsewhere; mergeable.

    Colour that runs over an outline is wrong on a few pixels beside it: the figure of all pixels
    hardly shows it. Compare two ways to enlarge the same colours.
    """

    def __init__(self) -> None:
        self.error, self.pixels = np.zeros(2), np.zeros(2, np.int64)  # elsewhere, beside edges

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (H, W, 3) uint8 each. Raises ValueError for different shapes."""
        if photo.shape != result.shape:
            raise ValueError(f"pictures of shapes {photo.shape} and {result.shape} are of no pair")
        if min(photo.shape[:2]) < 2:
            beside = np.zeros(photo.shape[:2], bool)
        else:
            beside = beside_edges(rgb_to_lab(photo)[..., 0])
        true, made = (
            rgb_to_lab(picture)[..., 1:].astype(np.float64) for picture in (photo, result)
        )
        error = ab_distance(true, made)
        self.error += np.bincount(beside.ravel(), error.ravel(), 2)
        self.pixels += np.bincount(beside.ravel(), minlength=2)

    def merge(self, other: "Bleeding") -> None:
        """Add what `other` has seen."""
        self.error += other.error
        self.pixels += other.pixels

    def compute(self) -> dict[str, float]:
        """Return {"beside_edges", "elsewhere", "share"}: mean distances in ab, CIELAB units.

        The share is that of the pixels beside edges. A mean over no pixel is NaN.
        """
        with np.errstate(invalid="ignore"):
            elsewhere, beside = self.error / self.pixels
        share = self.pixels[1] / self.pixels.sum()
        return {"beside_edges": float(beside), "elsewhere": float(elsewhere), "share": float(share)}
