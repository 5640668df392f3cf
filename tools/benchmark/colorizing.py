"""Colorizing a large photo, beside the authors' steps."""

import os
import time
import warnings

import numpy as np
from PIL import Image
from skimage import color

import backends
from cic import networks
from cic.colorize.colorizer import Colorizer
from cic.colour import bins
from cic.colour.lab import lightness
from cic.networks.initialize import initialize
from cic.photos import images
from tools.benchmark.measuring import (
    compared,
    fresh,
    megabytes,
    reset_peak,
    resident,
    seconds,
    within,
)
from tools.benchmark.photographs import TWELVE_MEGAPIXELS, photograph

HALF_A_STEP = 0.27  # units of L: rounding to 8 bits moves no colour's lightness further


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
