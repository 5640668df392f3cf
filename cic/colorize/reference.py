"""Let the colours of a film's shot follow a coloured key frame, from frame to frame.

When a frame resembles a reference, points of the reference are laid on it. From then on, until the
cut, each point is searched for around the place where its motion so far leads, by a small patch of
the reference's own lightness, so that errors do not add up. Where a patch cannot decide, as in a
blue sky, the common motion of the others does. The colours of the points are hints on the frame's
cells (see `hints`).
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image

from cic.colorize.colorizer import Colorizer
from cic.colorize.smoothing import blocks_of, picture_difference
from cic.colour.grid import Grid
from cic.colour.lab import lightness
from cic.photos import images
from cic.system.arrays import Array, Bytes, Floats
from cic.system.typing import StrPath

# Chosen on 12 films of pans and zooms over photographs of bsds/val (docs/measurements.md).
ALIKE = 0.2  # change (see `smoothing.Shots`) below which a frame is that of a reference
POINTS = 16  # along the short side
PATCH, SKIP = 7, 2  # pixels of what the network sees: from a patch's middle to its edge; its steps
REACH = 12  # such pixels, by which a point may miss the place where it should be
STAY = 0.05  # L a pixel: the price of moving otherwise than most points do
LOST = 8.0  # L: the mean difference from which a point is no longer there


class Reference(NamedTuple):
    """A coloured key frame: its name, and its picture, of mode RGB."""

    name: str
    image: Image.Image


def opened(path: StrPath) -> Reference:
    """Return the Reference in a file; raise PhotoError."""
    return Reference(str(path), images.open_rgb(path))


class _Track:
    """Points of a key frame with their colours, and where they are."""

    def __init__(self, rgb: Array, grid: Grid) -> None:
        light, ab, self.grid = lightness(rgb), grid.ab(rgb), grid
        step = max(1, round(min(ab.shape[:2]) / POINTS))
        cells = np.indices(ab.shape[:2])[:, step // 2 :: step, step // 2 :: step].reshape(2, -1)
        self.ab = ab[tuple(cells)]
        self.at = cells.T * grid.stride + grid.stride // 2
        self.move = np.zeros(2, int)  # of most points, from the frame before to the last
        self.patches = _patch(_windows(light, self.at, 0), 0, 0)

    def follow(self, light: Floats) -> tuple[Array, Array]:
        """Return (cells (n,), their ab (n, 2)) of the points that are found in the next frame (H,
        W).
        """
        self.at = self.at + self.move
        self._keep(self._inside(light))
        if len(self.at):
            self._search(light)
        row, column = self.at.T // self.grid.stride
        return row * (light.shape[1] // self.grid.stride) + column, self.ab

    def _search(self, light: Floats) -> None:
        """Put each point where its patch is, or leave it out."""
        seen = _windows(light, self.at, REACH)
        moves = np.array(list(product(range(-REACH, REACH + 1), repeat=2)))
        apart = np.stack(
            [np.abs(_patch(seen, *(m + REACH)) - self.patches).mean((1, 2)) for m in moves], axis=1
        )
        common = moves[apart.mean(0).argmin()]
        best = (apart + STAY * np.hypot(*(moves - common).T)).argmin(1)
        self.at, self.move = self.at + moves[best], self.move + common
        self._keep(self._inside(light) & (apart[np.arange(len(best)), best] < LOST))

    def _inside(self, light: Floats) -> Array:
        (row, column), (height, width) = self.at.T, light.shape
        return (row >= 0) & (row < height) & (column >= 0) & (column < width)

    def _keep(self, which: Array) -> None:
        self.at, self.ab, self.patches = self.at[which], self.ab[which], self.patches[which]


def _windows(light: Floats, at: Array, reach: int) -> Array:
    """Return what is around points (n, 2) of a frame (H, W), so far and by a patch more."""
    far = PATCH + reach
    padded = np.pad(light, far, "edge")
    span = np.arange(2 * far + 1)
    return padded[at[:, 0, None, None] + span[:, None], at[:, 1, None, None] + span]


def _patch(windows: Array, y: int, x: int) -> Array:
    side = 2 * PATCH + 1
    return windows[:, y : y + side : SKIP, x : x + side : SKIP]


class Guide:
    """Callable: the next frame of a film -> what References say of it: (cells (n,), ab (n, 2)).

    A frame is its Pillow image, its lightness (H, W) as the Colorizer's network sees it, and
    whether it begins a shot. The result is None if no reference belongs to the shot. `unused` are
    the references that never did.
    """

    def __init__(self, colorizer: Colorizer, references: Sequence[Reference] = ()) -> None:
        self.colorizer, self.references = colorizer, references
        self.known: list[tuple[Bytes, Array]] = []  # as the network sees them; their blocks
        self.tracks: dict[int, _Track] = {}
        self.used: set[int] = set()

    def __call__(self, image: Image.Image, light: Floats, cut: bool) -> tuple[Array, Array] | None:
        self.known = self.known or [self._seen(one, image.size) for one in self.references]
        self.tracks = {} if cut else {n: one for n, one in self.tracks.items() if len(one.at)}
        here = blocks_of(light)
        for number, (rgb, blocks) in enumerate(self.known):
            if number not in self.tracks and picture_difference(blocks, here) < ALIKE:
                self.tracks[number] = _Track(rgb, self.colorizer.grid)
                self.used.add(number)
        if not self.tracks:
            return None
        cells, ab = zip(*(track.follow(light) for track in self.tracks.values()))
        return np.concatenate(cells), np.concatenate(ab)

    @property
    def unused(self) -> list[Reference]:
        """Those that no frame so far resembled."""
        return [one for n, one in enumerate(self.references) if n not in self.used]

    def _seen(self, reference: Reference, size: tuple[int, int]) -> tuple[Bytes, Array]:
        rgb = self.colorizer.shrunk(reference.image.resize(size, Image.Resampling.BICUBIC))
        return rgb, blocks_of(lightness(rgb))
