"""Encoding, CIELAB and samples, beside scikit-learn, scikit-image and Paddle-CIC."""

import numpy as np
from PIL import Image
from skimage import color
from sklearn.neighbors import NearestNeighbors

from cic.colour import bins, rebalance
from cic.colour.distributions import soft_encode
from cic.colour.lab import lab_to_rgb, rgb_to_lab
from tools.benchmark.measuring import alternate, compared, megabytes, peak, seconds
from tools.benchmark.photographs import (
    BATCH,
    CROP,
    TARGET,
    TWELVE_MEGAPIXELS,
    photo_dataset,
    photograph,
)


class BallTree:
    """Soft encoding the straightforward way: scikit-learn's tree, and all 313 weights a pixel."""

    def __init__(self, neighbors=5, sigma=5.0):
        self.sigma = sigma
        self.tree = NearestNeighbors(n_neighbors=neighbors, algorithm="ball_tree").fit(bins.AB)

    def __call__(self, ab):
        """(N, 2) ab -> (N, 313) float32."""
        distance, index = self.tree.kneighbors(ab)
        weight = np.exp(distance**2 / (-2 * self.sigma**2))
        dense = np.zeros((len(ab), bins.COUNT), np.float32)
        np.put_along_axis(dense, index, weight / weight.sum(1, keepdims=True), axis=1)
        return dense


def encode(repeats, folder):
    """Soft-encoding the ab of 56 x 56 pixels."""
    ab = rgb_to_lab(np.asarray(photograph((56, 56))))[..., 1:].reshape(-1, 2)
    tree = BallTree()
    times = alternate(lambda: tree(ab), lambda: soft_encode(ab), 2 * repeats, BATCH)
    return [compared("soft-encoding 56 x 56 ab, scikit-learn's ball tree", *times, seconds, 8)]


def lab(repeats, folder):
    """sRGB to CIELAB and back, 12 megapixels."""
    rgb = np.asarray(photograph(TWELVE_MEGAPIXELS))
    colours, doubles = rgb_to_lab(rgb), color.rgb2lab(rgb)
    rows = []
    for what, theirs, ours in (
        ("rgb_to_lab", lambda: color.rgb2lab(rgb), lambda: rgb_to_lab(rgb)),
        ("lab_to_rgb", lambda: color.lab2rgb(doubles), lambda: lab_to_rgb(colours)),
        ("lab_to_rgb in float32", lambda: color.lab2rgb(colours), lambda: lab_to_rgb(colours)),
    ):
        what = f"{what}, 12 megapixels, scikit-image"
        times = alternate(theirs, ours, repeats)
        rows.append(compared(what, *times, seconds, 8))
        rows.append(compared(f"{what}: peak memory", peak(theirs), peak(ours), megabytes, 3))
    return rows


def straightforward_sample(path, tree, bin_weights, random):
    """A training sample by the steps of Callifrey/Paddle-CIC, at this training's sizes.

    L is that of the crop, ab that of the crop made small; each takes all of CIELAB.
    """
    photo = np.asarray(Image.open(path).convert("RGB"))
    top, left = (random.integers(0, n - CROP + 1) for n in photo.shape[:2])
    square = photo[top : top + CROP, left : left + CROP]
    square = square[:, ::-1] if random.random() < 0.5 else square
    small = Image.fromarray(square).resize((TARGET, TARGET), Image.Resampling.BILINEAR)
    light = (color.rgb2lab(square)[None, :, :, 0] - 50).astype(np.float32)
    ab = color.rgb2lab(np.asarray(small))[..., 1:]
    target = tree(ab.reshape(-1, 2)).reshape(TARGET, TARGET, -1).transpose(2, 0, 1)
    weight = bin_weights[target.argmax(0)] * (np.abs(ab) > rebalance.GRAY_BELOW).any()
    return light, target, weight


def sample(repeats, folder):
    """One training sample, from the JPEG file to the arrays."""
    photos = photo_dataset(folder)
    tree, random = BallTree(), np.random.default_rng(0)
    times = alternate(
        lambda: straightforward_sample(photos.photos[0], tree, photos.bin_weights, random),
        lambda: photos.sample(0, random.integers(1 << 30)),
        2 * repeats,
        BATCH,
    )
    return [compared("a training sample, Paddle-CIC's steps", *times, seconds, 8)]
