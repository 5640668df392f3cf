"""The prior: how often each ab bin occurs in photos, and the file that keeps it."""

from functools import cache
from importlib import resources
from zipfile import BadZipFile

import numpy as np

from cic import images, rebalance
from cic.bins import COUNT
from cic.files import open_regular, replacing
from cic.lab import rgb_to_lab

STRIDE = 4  # training targets are the ab of every 4th pixel


class Prior:
    """Counts of bins over photos; mergeable.

    `pixels` (313,) int64 are those nearest to each bin, `photos` the number of photos they are of.
    """

    def __init__(self, pixels=None, photos=0):
        self.pixels = np.zeros(COUNT, np.int64) if pixels is None else np.asarray(pixels)
        self.photos = int(photos)

    def update(self, ab):
        """Add a photo: (..., 2) ab, CIELAB units."""
        self.pixels = self.pixels + rebalance.count(ab)
        self.photos += 1

    def merge(self, other):
        """Add what `other` has seen."""
        self.pixels = self.pixels + other.pixels
        self.photos += other.photos

    def compute(self):
        """The prior, (313,) float64 summing to 1: the counts, smoothed by the soft encoding."""
        return rebalance.smooth(self.pixels)

    def save(self, path):
        """Write the prior, `pixels` and `photos`, three arrays of one .npy file.

        np.load reads the first.
        """
        with replacing(path) as fresh, open(fresh, "wb") as file:
            for array in (self.compute(), self.pixels, self.photos):
                np.save(file, array)

    @classmethod
    def load(cls, path):
        """What `save` wrote; raises ValueError, naming the file, for anything else."""
        with open_regular(path) as file:
            try:
                _, pixels, photos = (np.load(file, allow_pickle=False) for _ in range(3))
                counts = cls(pixels, photos)
                counts.compute()
            except (ValueError, EOFError, TypeError) as error:
                raise ValueError(f"{path}: no counts of a prior to add to: {error}") from None
        return counts


def photo_ab(source, load_size=256):
    """ab of a photo as training targets see it, (h, w, 2): every 4th pixel at that short side.

    Raises PhotoError.
    """
    photo = images.shrink(images.open_rgb(source, short=load_size), load_size)
    return rgb_to_lab(np.asarray(photo)[::STRIDE, ::STRIDE])[..., 1:]


def divergence(prior, other):
    """Kullback-Leibler divergence of a prior (313,) from another, nats: 0 if they are equal."""
    seen = prior > 0
    return float((prior[seen] * np.log(prior[seen] / other[seen])).sum())


def read(path):
    """Prior (313,) from a .npy file; raises ValueError, naming the file, for anything else."""
    try:
        with open_regular(path) as file:
            prior = np.load(file, allow_pickle=False)
        rebalance.weights(prior)
    except (ValueError, EOFError, TypeError, BadZipFile) as error:
        raise ValueError(f"{path}: not a prior: {error}") from None
    return prior


@cache
def default():
    """The bundled prior of natural photographs, (313,); cic/data/README.md says whence."""
    with resources.as_file(resources.files("cic") / "data" / "prior.npy") as path:
        prior = read(path)
    prior.setflags(write=False)
    return prior
