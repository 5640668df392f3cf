"""Photos -> training samples, in a seeded order that any worker or rank can compute.

Randomness is a function of (seed, epoch, photo), never a state: which photos a step sees and how
they are cropped follow from the seed and the step alone.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from cic import images, sources
from cic.encode import soft_encode
from cic.lab import lightness, rgb_to_lab
from cic.rebalance import is_gray
from cic.seeding import random_for

ORDER = 1  # the last word of the order's random stream; those of the crops have 0


class Batch(NamedTuple):
    """Samples of one step; N is smaller where photos could not be read.

    inputs (N, 1, C, C) float32, the network's input; index (N, K, c, c) int16 bins and
    weight (N, K, c, c) float32, the sparse soft target times the pixel's rebalancing weight;
    failures: one message for each unreadable photo.
    """

    inputs: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    failures: tuple

    def parts(self, count):
        """`count` Batches of nearly equal numbers of the photos, in order; some may have none."""
        arrays = zip(*(np.array_split(array, count) for array in self[:3]))
        return [Batch(*part, ()) for part in arrays]


class PhotoDataset:
    """Photos of folders and tar shards, `places`, as samples for `network`.

    A photo is taken at a short side of `load_size` (never enlarged, unless smaller than the crop),
    then a square of `crop_size` is cut out and mirrored: at random when `augment`, else the middle,
    unmirrored. `bin_weights` (313,) are the rebalancing weights, None for none.
    Raises PhotoError if the places hold no photo, ValueError for sizes that do not fit.
    """

    def __init__(
        self,
        places,
        network,
        load_size=256,
        crop_size=176,
        neighbors=5,
        sigma=5.0,
        bin_weights=None,
        seed=0,
        augment=True,
    ):
        self.stride = network.stride  # refuses a network that does not colorize
        if crop_size % network.multiple or not 0 < crop_size <= load_size:
            raise ValueError(
                f"crop_size is {crop_size}: it must be a multiple of {network.multiple} "
                f"and at most load_size, {load_size}"
            )
        self.photos = sources.PhotoList(places)
        if not self.photos:
            raise images.PhotoError(f"{', '.join(map(str, places))}: no photo in there")
        self.network = network
        self.load_size, self.crop_size = load_size, crop_size
        self.neighbors, self.sigma = neighbors, sigma
        self.bin_weights = bin_weights
        self.seed, self.augment = seed, augment

    def __len__(self):
        return len(self.photos)

    def crop(self, i, epoch=0):
        """The square of photo `i` that `epoch` sees, (crop_size, crop_size, 3) uint8 sRGB."""
        photo = images.open_rgb(self.photos[i], short=self.load_size)
        short = min(photo.size)
        scale = short / max(min(short, self.load_size), self.crop_size)
        spare = np.rint(np.divide(photo.size, scale)).astype(int) - self.crop_size
        corner, mirror = spare // 2, False
        if self.augment:
            random = random_for(self.seed, epoch, i)
            corner, mirror = random.integers(0, spare + 1), random.random() < 0.5
        square = self._cut(photo, corner * scale, self.crop_size * scale)
        return np.asarray(square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else square)

    def _cut(self, photo, corner, side):
        """The square of `side` pixels from `corner` (x, y) on, at the size of the crop."""
        far = np.minimum(corner + side, photo.size)
        if side == self.crop_size:
            return photo.crop((*corner.astype(int), *far.astype(int)))
        size = (self.crop_size, self.crop_size)
        return photo.resize(size, Image.Resampling.BICUBIC, (*corner, *far), reducing_gap=2.0)

    def sample(self, i, epoch=0):
        """(input, index, weight) of photo `i`: `Batch`'s arrays without their first axis.

        The target is the ab of every stride-th pixel (4th, as in the authors' training). A gray
        photo has weight 0: it has no colour to teach.
        """
        square = self.crop(i, epoch)
        ab = rgb_to_lab(square[:: self.stride, :: self.stride])[..., 1:]
        index, weight = soft_encode(ab, self.neighbors, self.sigma)
        if is_gray(ab):
            weight[:] = 0
        elif self.bin_weights is not None:
            weight *= self.bin_weights[index[..., :1]]  # a pixel's weight is its nearest bin's
        inputs = self.network.prepare(lightness(square))
        return inputs[None], index.transpose(2, 0, 1), weight.transpose(2, 0, 1)


@lru_cache(maxsize=2)
def _permutation(photos, seed, epoch):
    return random_for(seed, epoch, 0, ORDER).permutation(photos)


class Order:
    """Which photos each step sees: a permutation of all, drawn anew from (seed, epoch).

    Step s of the run belongs to epoch s // steps_per_epoch. A global batch is a slice of the
    permutation, the last one of an epoch the shorter; rank r of `world` takes every world-th of it
    from r on. So each photo comes once an epoch and a global batch holds the same photos whatever
    the number of ranks.
    """

    def __init__(self, photos, batch_size, seed=0, shuffle=True, rank=0, world=1):
        if batch_size < world:
            raise ValueError(f"batch_size is {batch_size}: {world} ranks need at least one each")
        self.photos, self.batch_size, self.seed, self.shuffle = photos, batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.steps_per_epoch = -(-photos // batch_size)

    def batch(self, step):
        """(epoch, indices of the photos) of this rank at `step`."""
        epoch, number = divmod(step, self.steps_per_epoch)
        photos = np.arange(self.photos)
        if self.shuffle:
            photos = _permutation(self.photos, self.seed, epoch)
        chosen = photos[number * self.batch_size : (number + 1) * self.batch_size]
        return epoch, chosen[self.rank :: self.world]


def make_batch(dataset, order, step):
    """The Batch of `step`: a pure function, whichever process calls it."""
    epoch, chosen = order.batch(step)
    samples, failures = [], []
    for i in chosen:
        try:
            samples.append(dataset.sample(int(i), epoch))
        except images.PhotoError as error:
            failures.append(str(error))
    side, target = dataset.crop_size, dataset.crop_size // dataset.stride
    batch = Batch(
        np.empty((len(samples), 1, side, side), np.float32),
        np.empty((len(samples), dataset.neighbors, target, target), np.int16),
        np.empty((len(samples), dataset.neighbors, target, target), np.float32),
        tuple(failures),
    )
    for n, sample in enumerate(samples):
        for array, part in zip(batch, sample):
            array[n] = part
    return batch
