"""Measure how much faster and smaller this is than the straightforward way, side by side.

python tools/bench.py --output bench.md
python tools/bench.py --quick encode lab

Both ways alternate in the same run; times are medians, so the ratios compare between machines
although the times do not. Needs Linux, scikit-learn, and for some lines both frameworks.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from contextlib import ExitStack
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image, ImageOps
from skimage import color, data
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

import backends
from cic import (
    bins,
    console,
    dataset,
    images,
    networks,
    prior,
    rebalance,
    recipes,
    sources,
    validity,
)
from cic.colorize import Colorizer
from cic.encode import soft_encode
from cic.files import replacing
from cic.initialize import initialize
from cic.lab import lab_to_rgb, lightness, rgb_to_lab
from cic.loader import Loader
from cic.parallel import Pool
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
    timed,
    within,
)

TWELVE_MEGAPIXELS = 4000, 3000
CROP, TARGET, BATCH = 176, 44, 40  # the authors' training
NEAR = 1e-5  # relative difference of one loss computed in two ways
HALF_A_STEP = 0.27  # units of L: rounding to 8 bits moves no colour's lightness further
HALF_A_UNIT = 0.5  # units of ab: a twentieth of the width of a bin
PHOTOS = 400  # to be read in a row

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
    weights = rebalance.weights(prior.default())
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
        lambda: straightforward_sample(photos.photos[0], tree, photos.bin_weights, random),
        lambda: photos.sample(0, random.integers(1 << 30)),
        2 * repeats,
        BATCH,
    )
    return [compared("a training sample, Paddle-CIC's steps", *times, seconds, 4, 8)]


def read_photo(size, photos, i):
    """A photo, decoded and shrunk as for training; its size."""
    return images.shrink(images.open_rgb(photos[i], short=size), size).size


def photo_lists(size, folder):
    """The same photographs in class folders and in a tar shard: two PhotoLists."""
    shots = [Image.fromarray(shot()) for shot in (data.astronaut, data.coffee, data.chelsea)]
    files, shard = os.path.join(folder, "files"), os.path.join(folder, "shard.tar")
    for n in range(PHOTOS):
        shot = shots[n % len(shots)]
        cut = images.shrink(shot.crop((n % 50, n // 50, *shot.size)), size)
        images.write(os.path.join(files, f"n{n % 20:02}", f"{n}.jpg"), np.asarray(cut))
    with tarfile.open(shard, "w") as tar:
        for name in sources.walk(files):
            tar.add(os.path.join(files, name), name)
    return [sources.PhotoList([place]) for place in (files, shard)]


@line
def shards(repeats, folder):
    """Reading the same photographs from files and from a tar shard."""
    rows = []
    for size in (64, 256):
        lists = photo_lists(size, os.path.join(folder, str(size)))
        for workers, where in ((0, "this process"), (4, "4 processes")):
            with ExitStack() as stack:
                pools = [stack.enter_context(Pool(workers, read_photo, size, p)) for p in lists]
                ways = [partial(read_all, pool) for pool in pools]
                times = alternate(*ways, 4 * repeats) / PHOTOS
            what = f"reading photos of {size} pixels in {where}, from files or a shard"
            rows.append(compared(what, *times, a_second, 1))
    return rows


def read_all(pool):
    for _ in pool.map(range(PHOTOS), chunk=PHOTOS // 16):
        pass


def a_second(value):
    return f"{1 / value:,.0f} a second"


@line
def draft(repeats, folder):
    """A 12-megapixel JPEG file at a short side of 256, by way of the decoder's own scaling."""
    path = os.path.join(folder, "large.jpg")
    images.write(path, np.asarray(photograph(TWELVE_MEGAPIXELS)))
    ways = [lambda short=short: images.open_rgb(path, short) for short in (None, 256)]
    ways = [lambda way=way: images.shrink(way(), 256) for way in ways]
    times = alternate(*ways, 2 * repeats)
    full, scaled = (rgb_to_lab(np.asarray(way())[::4, ::4])[..., 1:] for way in ways)
    change = np.linalg.norm(full - scaled, axis=-1).mean()
    what = "a 12-megapixel JPEG at 256 pixels, decoded in full"
    changes = f"{what}: mean change of ab", "0", f"{change:.2f}", change, HALF_A_UNIT
    return [compared(what, *times, seconds), within(*changes)]


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


def eager_step(batch):
    """Function that makes a training step as PyTorch does out of the box: float32, NCHW."""
    torch_backend = backends.get("torch")
    import torch

    net = torch_backend.build(networks.get("cic")).to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(net.train().parameters(), weight_decay=1e-3)
    inputs, index, weight = map(torch.from_numpy, batch[:3])

    def step():
        optimizer.zero_grad()
        loss = torch_backend.cross_entropy(net(inputs), index, weight)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def our_step(backend, precision, batch):
    """Function that makes a training step of a Trainer."""
    network = networks.get("cic")
    state = initialize(network)
    trainer = backends.get(backend).Trainer(network, recipes.get("full"), state, "cpu", precision)
    return lambda: trainer.step(batch, 1e-5)[0].item()


def measure_step(batch, make, *arguments):
    """Median seconds of a training step on `batch`."""
    step = make(*arguments, batch)
    step()
    return np.median([timed(step, 1) for _ in range(3)])


@line
def step(repeats, folder):
    """A training step of the paper's network, 4 crops of 176 pixels."""
    photos = photo_dataset(folder)
    samples = [photos.sample(0, epoch) for epoch in range(4)]
    batch = dataset.Batch(*(np.stack(arrays) for arrays in zip(*samples)), ())
    ways = [(eager_step,), (our_step, "torch", "bf16"), (our_step, "torch", "float32")]
    ways += [(our_step, "paddle", "float32")]
    rounds = [[fresh(measure_step, batch, *way) for way in ways] for _ in range(repeats)]
    eager, bf16, torch_step, paddle_step = np.median(rounds, axis=0)
    what = "a training step, torch as it comes, float32"
    return [
        compared(f"{what}; ours in bf16", eager, bf16, seconds, 1.8),
        compared(f"{what}; ours in float32", eager, torch_step, seconds),
        compared(f"{what}; paddle in float32", eager, paddle_step, seconds, 0.59),
    ]


@line
def waiting(repeats, folder):
    """The time that training waits for photos, the paper's network, batches of 8."""
    shots = [photograph((384, 256)).rotate(degrees) for degrees in range(32)]
    for number, shot in enumerate(shots):
        images.write(os.path.join(folder, "in", f"{number}.jpg"), np.asarray(shot))
    photos = dataset.PhotoDataset([os.path.join(folder, "in")], networks.get("cic"))
    with Loader(photos, dataset.Order(len(photos), 8), workers=1) as loader:
        list(loader.batches(0, 8))
        rate = 8 * 40 / timed(lambda: list(loader.batches(0, 40)), 1)
    command = [sys.executable, os.path.join(os.path.dirname(__file__), "train.py")]
    command += ["--image_dir", os.path.join(folder, "in"), "--model_path"]
    command += [os.path.join(folder, "model"), "--batch_size", "8", "--max_steps", "6"]
    command += ["--num_workers", "1", "--backend", "torch", "--precision", "bf16"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(output.splitlines()[-1])
    share, needed = figures["waiting"], figures["images_per_second"]
    what = "training in bf16, batches of 8: share of the time that it waits for photos"
    shown = f"uses {needed:.1f} a second", f"one worker reads {rate:.0f} a second"
    return [within(what, *shown, share, 0.02)]


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


def scikit_image_chroma(path):
    """The chroma of a photo, (H, W), the straightforward way to see whether it is gray."""
    lab = color.rgb2lab(np.asarray(Image.open(path).convert("RGB")))
    return np.hypot(lab[..., 1], lab[..., 2])


@line
def prune(repeats, folder):
    """Seeing whether a 256-pixel JPEG file is valid: ten, one of which is gray."""
    paths = [os.path.join(folder, f"{number}.jpg") for number in range(10)]
    for number, path in enumerate(paths):
        photo = data.astronaut, data.chelsea, data.coffee
        image = ImageOps.fit(Image.fromarray(photo[number % 3]()), (341, 256))
        image = ImageOps.mirror(image) if number % 2 else image
        gray = number == len(paths) - 1
        images.write(path, np.asarray(image.convert("L").convert("RGB") if gray else image))
    times = alternate(
        lambda: [scikit_image_chroma(path) for path in paths],
        lambda: [validity.examine(path) for path in paths],
        2 * repeats,
    )
    what = "is a photo gray, Pillow and scikit-image's chroma"
    return [compared(what, *times / len(paths), seconds, 6)]


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
