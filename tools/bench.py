"""Measure how much faster and smaller this is than the straightforward way, side by side.

python tools/bench.py --output bench.md
python tools/bench.py --quick encode lab

Both ways alternate in the same run; times are medians, so the ratios compare between machines
although the times do not. Needs Linux, scikit-learn, and for some lines both frameworks.
"""

import os
import sys
import tempfile
import time
import warnings
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image, ImageOps
from skimage import color, data
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

import backends
from cic import bins, console, dataset, images, networks, rebalance
from cic.colorize import Colorizer
from cic.encode import soft_encode
from cic.files import replacing
from cic.initialize import initialize
from cic.lab import lab_to_rgb, lightness, rgb_to_lab
from tools._measuring import (
    Row,
    alternate,
    compared,
    fresh,
    machine,
    megabytes,
    peak,
    reset_peak,
    resident,
    seconds,
    within,
)

TWELVE_MEGAPIXELS = 4000, 3000
CROP, TARGET, BATCH = 176, 44, 40  # the authors' training
NEAR = 1e-5  # relative difference of one loss computed in two ways
HALF_A_STEP = 0.27  # units of L: rounding to 8 bits moves no colour's lightness further

LINES = {}


def line(function):
    """Register a function (repeats, folder) -> rows under its own name."""
    LINES[function.__name__] = function
    return function


def photograph(size):
    """A real photograph cut and scaled to `size`, (width, height): Pillow image of mode RGB."""
    return ImageOps.fit(Image.fromarray(data.coffee()), size, Image.Resampling.BICUBIC)


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


@line
def encode(repeats, folder):
    """Soft-encoding the ab of 56 x 56 pixels."""
    ab = rgb_to_lab(np.asarray(photograph((56, 56))))[..., 1:].reshape(-1, 2)
    tree = BallTree()
    times = alternate(lambda: tree(ab), lambda: soft_encode(ab), 2 * repeats, BATCH)
    return [compared("soft-encoding 56 x 56 ab, scikit-learn's ball tree", *times, seconds, 8)]


@line
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
        rows.append(compared(what, *times, seconds, 4))
        rows.append(compared(f"{what}: peak memory", peak(theirs), peak(ours), megabytes, 3))
    return rows


def photo_dataset(folder):
    """The dataset of one photograph, written to `folder` 256 pixels high."""
    images.write(os.path.join(folder, "photo.jpg"), np.asarray(photograph((384, 256))))
    weights = rebalance.weights(rebalance.default_prior())
    return dataset.PhotoDataset([folder], networks.get("cic"), bin_weights=weights)


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


@line
def sample(repeats, folder):
    """One training sample, from the JPEG file to the arrays."""
    photos = photo_dataset(folder)
    tree, random = BallTree(), np.random.default_rng(0)
    times = alternate(
        lambda: straightforward_sample(photos.paths[0], tree, photos.bin_weights, random),
        lambda: photos.sample(0, random.integers(1 << 30)),
        2 * repeats,
        BATCH,
    )
    return [compared("a training sample, Paddle-CIC's steps", *times, seconds, 4, 8)]


def torch_losses(logits, index, weight, dense):
    """(dense, sparse): functions without arguments that run forward and backward."""
    import torch
    from torch.nn import functional as F

    logits, index, weight, dense = map(torch.from_numpy, (logits, index, weight, dense))
    logits.requires_grad_()

    def run(cross_entropy, *target):
        logits.grad = None
        value = cross_entropy(logits, *target)
        value.backward()
        return value.item()

    ours = backends.get("torch").cross_entropy
    return lambda: run(F.cross_entropy, dense), lambda: run(ours, index, weight)


def paddle_losses(logits, index, weight, dense):
    """(dense, sparse): functions without arguments that run forward and backward."""
    ours = backends.get("paddle").cross_entropy
    import paddle
    from paddle.nn import functional as F

    logits, index, weight, dense = map(paddle.to_tensor, (logits, index, weight, dense))
    logits.stop_gradient = False
    theirs = partial(F.cross_entropy, soft_label=True, axis=1)

    def run(cross_entropy, *target):
        logits.clear_gradient(set_to_zero=False)
        value = cross_entropy(logits, *target)
        value.backward()
        return value.item()

    return lambda: run(theirs, dense), lambda: run(ours, index, weight)


LOSSES = {"torch": torch_losses, "paddle": paddle_losses}


def compare_losses(backend, index, weight, repeats):
    """(values, median seconds) of the dense and the sparse loss of a framework."""
    dense = np.zeros((len(index), bins.COUNT, *index.shape[2:]), np.float32)
    np.put_along_axis(dense, index.astype(np.int64), weight, axis=1)
    logits = np.random.default_rng(0).standard_normal(dense.shape, np.float32)
    theirs, ours = LOSSES[backend](logits, index, weight, dense)
    return (theirs(), ours()), alternate(theirs, ours, repeats)


@line
def loss(repeats, folder):
    """The target and the loss of a batch, sparse and dense."""
    photos = photo_dataset(folder)
    samples = [photos.sample(0, epoch) for epoch in range(BATCH)]
    index, weight = (np.stack(arrays) for arrays in list(zip(*samples))[1:])
    dense = weight.itemsize * BATCH * bins.COUNT * TARGET**2
    sparse = index.nbytes + weight.nbytes
    rows = [compared(f"target of {BATCH} crops, dense", dense, sparse, megabytes, 20)]
    for backend in backends.available():
        values, times = fresh(compare_losses, backend, index, weight, repeats)
        apart = abs(values[0] - values[1]) / values[0]
        shown = (f"{value:.7f}" for value in values)
        rows.append(within(f"loss, {backend}, dense: relative difference", *shown, apart, NEAR))
        rows.append(compared(f"loss, {backend}, dense: forward, backward", *times, seconds))
    return rows


def our_colorizer(backend):
    """Function (source, target) that colorizes a file and returns the pixels written."""
    network = networks.get("cic")
    predict = backends.get(backend).predictor(network, initialize(network), "cpu")
    colorizer = Colorizer(network, predict)

    def colorize_file(source, target):
        rgb = colorizer(images.open_rgb(source))
        images.write(target, rgb)
        return rgb

    return colorize_file


def straightforward_colorizer():
    """The same by the steps of the authors' PyTorch pipeline, which stops at the float RGB."""
    net = backends.get("torch").build(networks.get("cic"))
    import torch
    from torch.nn import functional as F

    net.to(memory_format=torch.contiguous_format)
    to_ab = torch.from_numpy(bins.AB.T.copy())[:, :, None, None]

    @torch.no_grad()
    def colorize_file(source, target):
        photo = np.asarray(Image.open(source))
        small = np.asarray(Image.fromarray(photo).resize((256, 256), Image.Resampling.BICUBIC))
        light, small_light = (
            torch.Tensor(color.rgb2lab(rgb)[:, :, 0])[None, None] for rgb in (photo, small)
        )
        ab = F.conv2d(torch.softmax(net(small_light - 50), 1), to_ab)
        ab = F.interpolate(ab, scale_factor=4, mode="bilinear")
        ab = F.interpolate(ab, size=photo.shape[:2], mode="bilinear")
        return color.lab2rgb(torch.cat((light, ab), 1)[0].numpy().transpose(1, 2, 0))

    return colorize_file


def measure_colorizing(backend, folder):
    """(seconds, bytes above the network's own, largest change of L); backend None: not ours."""
    warnings.simplefilter("ignore")  # scikit-image's, of colours that it clips
    colorize_file = our_colorizer(backend) if backend else straightforward_colorizer()
    source, target = os.path.join(folder, "large.jpg"), os.path.join(folder, "out.jpg")
    for _ in range(2):
        colorize_file(os.path.join(folder, "small.jpg"), target)
    reset_peak()
    before, start = resident("VmRSS"), time.perf_counter()
    rgb = colorize_file(source, target)
    elapsed, held = time.perf_counter() - start, resident("VmHWM") - before
    rgb = rgb if backend else np.rint(255 * rgb).astype(np.uint8)
    return elapsed, held, np.abs(lightness(rgb) - lightness(images.read(source))).max()


@line
def colorize(repeats, folder):
    """A 12-megapixel JPEG file, colorized by the paper's network."""
    for name, size in (("small.jpg", (400, 300)), ("large.jpg", TWELVE_MEGAPIXELS)):
        images.write(os.path.join(folder, name), np.asarray(photograph(size)))
    ways = None, *backends.available()
    rounds = [[fresh(measure_colorizing, way, folder) for way in ways] for _ in range(repeats)]
    (time_, memory, change), *ours = np.median(rounds, axis=0)
    rows = []
    for backend, figures in zip(backends.available(), ours):
        what = f"colorizing 12 megapixels, {backend}, authors' steps"
        rows.append(compared(what, time_, figures[0], seconds, 2))
        rows.append(compared(f"{what}: peak memory", memory, figures[1], megabytes, 3))
        changes = f"{change:.3f}", f"{figures[2]:.3f}"
        rows.append(within(f"{what}: change of L", *changes, figures[2], HALF_A_STEP))
    return rows


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"lines to measure, of {', '.join(LINES)} (all)")
    add("--quick", action="store_true", help="one repeat, to see that it runs")
    add("--output", help="file for the table, Markdown")
    return parser.parse_args()


def main():
    args = parse_arguments()
    unknown = set(args.names) - set(LINES)
    if unknown:
        raise ValueError(f"no line is called {unknown.pop()!r}; there are {', '.join(LINES)}")
    rows = [Row("what", "straightforward", "ours", "ratio", "aim"), Row(*5 * ["---"])]
    for name in tqdm(args.names or LINES, unit="line"):
        with tempfile.TemporaryDirectory() as folder:
            rows += LINES[name](1 if args.quick else 5, folder)
    table = [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join([*table, "", *(f"- {fact}" for fact in machine()), ""])
    print(text)
    if args.output:
        with replacing(args.output) as path, open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    console.run(main)
