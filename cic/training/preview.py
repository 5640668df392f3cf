"""Show what a network in training makes of a few photos: gray | predicted | truth, and which
bins.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from cic.colorize.colorizer import Decoder, add_colour
from cic.colorize.settings import DEFAULTS, Settings
from cic.colour import ab_plane, rebalance
from cic.colour.bins import COUNT
from cic.colour.distributions import soft_encode
from cic.colour.grid import EVERY_FOURTH, Grid
from cic.colour.lab import lightness, recolor, rgb_to_lab
from cic.dataset.batches import PhotoDataset
from cic.networks import Network
from cic.photos import images
from cic.photos.sheet import contact_sheet
from cic.system.arrays import Array, Bytes, Doubles
from cic.training.board import Board

CAPTIONS = ("gray", "predicted", "truth")
NARROWEST = 176  # pixels of a column: its caption fits
EDGES = np.arange(COUNT + 1) - 0.5  # of a histogram with one bar a bin


def choose(dataset: PhotoDataset, count: int = 8) -> Bytes:
    """Return the crops of up to `count` photos, evenly spread, (n, C, C, 3) uint8 sRGB.

    Each stands for its stretch of the dataset: the first of it that can be read. Raises PhotoError
    if none can.
    """
    count = min(count, len(dataset))
    bounds = np.linspace(0, len(dataset), count + 1).astype(int)
    firsts = [_first_readable(dataset, range(*stretch)) for stretch in pairwise(bounds)]
    crops = [crop for crop in firsts if crop is not None]
    if not crops:
        raise images.PhotoError("not one photo for the preview could be read")
    return np.stack(crops)


def _first_readable(dataset: PhotoDataset, stretch: Iterable[int]) -> Bytes | None:
    for i in stretch:
        try:
            return dataset.crop(i)
        except images.PhotoError:
            continue
    return None


def panel(photos: Bytes, predicted: Array, grid: Grid = EVERY_FOURTH) -> Bytes:
    """Return the sheet (H, W, 3) uint8, a row a photo: gray | predicted | truth.

    Photos (n, C, C, 3) uint8, `predicted` ab (n, c, c, 2) of the cells of an grid.Grid on them.
    """
    rows = []
    for photo, ab in zip(photos, predicted):
        gray = recolor(photo, np.zeros((*photo.shape[:2], 2), np.float32))
        rows.append((gray, add_colour(photo, ab, grid, grid.sample(lightness(photo))), photo))
    return contact_sheet(rows, CAPTIONS, max(NARROWEST, photos.shape[2]))


class Preview:
    """Crops (n, C, C, 3) uint8 sRGB, as `choose` gives them, to look at as `network` learns.

    `prior` (313,) is shown beside the bins that are predicted; of `settings`, a colorizer's, the
    decoding and the targets count.
    """

    def __init__(
        self, network: Network, photos: Bytes, prior: Array, settings: Settings = DEFAULTS
    ) -> None:
        self.photos, self.prior = photos, prior
        self.decoder = Decoder(network, settings)
        self.inputs = network.inputs(photos)
        sample = self.decoder.grid.sample
        self.light = [sample(lightness(photo)) for photo in photos]
        truth = np.stack([sample(rgb_to_lab(photo)[..., 1:]) for photo in photos])
        self.truth = _shares(rebalance.count(truth))

    def show(self, board: Board, step: int, predict: Callable[[Array], Array]) -> None:
        """Put panel, bins on the ab plane, and their histogram on `board`.

        `predict` runs the network on (1, 1, C, C) float32. A bin counts where it is the likeliest
        or, if the network gives ab, the nearest.
        """
        outputs = np.concatenate([predict(x[None]) for x in self.inputs])
        ab = np.stack([self.decoder.ab_of(*cells) for cells in zip(outputs, self.light)])
        distributed = self.decoder.has_distribution
        bins = outputs.argmax(1) if distributed else soft_encode(ab, neighbors=1)[0]
        predicted = _shares(np.bincount(bins.ravel(), minlength=COUNT))
        planes = {"predicted": predicted, "truth": self.truth, "prior": self.prior}
        sheet = panel(self.photos, ab, self.decoder.grid)
        board.picture(step, "photos", sheet)
        board.picture(step, "bins", ab_plane.draw(planes))
        board.histogram(step, "predicted bins", bins, EDGES)


def _shares(counts: Array) -> Doubles:
    return counts / counts.sum()
