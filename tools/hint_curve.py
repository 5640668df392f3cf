"""Measure what colour hints bring: PSNR by their number, beside hints that merely diffuse.

python tools/hint_curve.py --image_dir photos/val --save_path figures
python tools/hint_curve.py --image_dir photos/val --save_path figures --max_samples 20
python tools/hint_curve.py --image_dir photos/val --save_path figures --weights new.safetensors

A person is simulated as by Zhang et al. (2017): hints lie at random places and have the true colour
there, the mean of 7 x 7 pixels of a photo whose short side is 256. "Diffusion" is that of Levin et
al. (2004) on the same grid of cells, from the hints alone.
"""

import json
import os
import sys
import time
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import ImageFilter
from scipy import sparse
from scipy.sparse import linalg

import backends
from cic.colorize.colorizer import add_colour
from cic.colorize.hints import Hint, cell_of, follow
from cic.photos import images, sources
from cic.system import console
from cic.system.files import replacing
from cic.system.progress import told
from cic.system.randomness import random_for
from metric import charts
from metric.figures.psnr import PSNR

COUNTS = (1, 2, 5, 10, 20, 50)
SIZE, PATCH = 256, 7
NONE, OURS, DIFFUSION = "no hints", "hints", "diffusion"


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, searched at any depth")
    add("--save_path", required=True, help="folder for hints.json and hints.png")
    add("--weights", help="checkpoint (the bundled one)")
    add("--max_samples", type=console.positive, help="measure only the first so many photos")
    backends.add_flags(parser)
    return parser.parse_args()


def simulated(image, number):
    """Hints at random places of a photo, with its colours there."""
    means = image.filter(ImageFilter.BoxBlur(PATCH // 2))
    random = random_for(0, number)
    for _ in range(max(COUNTS)):
        x, y = (int(random.integers(side)) for side in image.size)
        yield Hint(x + 0.5, y + 0.5, "#{:02x}{:02x}{:02x}".format(*means.getpixel((x, y))))


def diffused(hints, sides, light):
    """ab (h, w, 2) of hints alone: each cell is the mean of its neighbours, by their lightness."""
    height, width = light.shape
    cells, count = np.arange(light.size).reshape(light.shape), light.size
    around = np.pad(light, 1, "edge")
    windows = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    variance = 0.6 * np.var(windows, 0) + 1e-3
    here, there, weight = [], [], []
    for y, x in ((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x):
        own = np.s_[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
        other = np.s_[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
        here.append(cells[own].ravel())
        there.append(cells[other].ravel())
        apart = np.square(light[own] - light[other]) / (2 * variance[own])
        weight.append((np.exp(-apart) + 1e-6).ravel())
    here, there, weight = map(np.concatenate, (here, there, weight))
    weight /= np.bincount(here, weight)[here]
    wanted = np.zeros((count, 2))
    known = np.zeros(count, bool)
    for hint in hints:
        place = cells[cell_of(hint.x, hint.y, sides, light.shape)]
        known[place], wanted[place] = True, hint.ab
    free = ~known[here]
    mean = sparse.csr_matrix((weight[free], (here[free], there[free])), (count, count))
    solve = linalg.splu((sparse.identity(count) - mean).tocsc()).solve
    return np.stack([solve(column) for column in wanted.T], -1).reshape(height, width, 2)


class Line:
    """The PSNR and the seconds of a way, for each number of hints."""

    def __init__(self):
        self.figures, self.seconds = {count: PSNR() for count in COUNTS}, []

    def add(self, count, truth, make, paint):
        begin = time.perf_counter()
        ab = make().astype(np.float32)
        self.seconds.append(time.perf_counter() - begin)
        self.figures[count].update(truth, paint(ab))

    @property
    def decibels(self):
        return {count: figure.compute()["psnr"] for count, figure in self.figures.items()}


def measure(colorizer, photo, number, lines):
    """Add a photo to the Lines."""
    image = images.shrink(images.open_rgb(photo), SIZE)
    truth, sides = np.asarray(image), (image.height, image.width)
    logits, light = colorizer.output(image), colorizer.light(image)
    ab, hints = colorizer.ab_of(logits, light), list(simulated(image, number))
    paint = partial(add_colour, truth, grid=colorizer.grid, guide=colorizer.guide(light))
    for count in COUNTS:
        some = hints[:count]
        ways = {
            NONE: lambda: ab,
            OURS: lambda some=some: follow(ab, some, sides, light, logits),
            DIFFUSION: lambda some=some: diffused(some, sides, light),
        }
        for name, make in ways.items():
            lines[name].add(count, truth, make, paint)


def draw(lines):
    drawn = charts.figure(5, 3.4)
    axes = drawn.add_subplot(xscale="log", xlabel="hints", ylabel="PSNR, dB")
    axes.set_xticks(COUNTS, COUNTS)
    axes.minorticks_off()
    for name, line in lines.items():
        axes.plot(COUNTS, line.decibels.values(), "o-", label=name)
    axes.legend()
    return charts.png(drawn)


def main():
    args = parse_arguments()
    colorizer = backends.colorizer(args.weights, args.backend, args.device)
    lines = {name: Line() for name in (NONE, OURS, DIFFUSION)}
    photos = sources.find(args.image_dir, most=args.max_samples)
    with told(None, total=len(photos)) as bar:
        paths = (os.path.join(args.image_dir, name) for name in bar.each(photos))
        for number, path in enumerate(paths):
            measure(colorizer, path, number, lines)
    figures = {name: line.decibels for name, line in lines.items()}
    os.makedirs(args.save_path, exist_ok=True)
    for name, data in (("json", json.dumps(figures).encode()), ("png", draw(lines))):
        with (
            replacing(os.path.join(args.save_path, f"hints.{name}")) as fresh,
            open(fresh, "wb") as file,
        ):
            file.write(data)
    for name, line in lines.items():
        print(f"{name:>10}", *(f"{count}: {db:.2f} dB" for count, db in line.decibels.items()))
        print(f"{'':>10}", f"{1000 * np.median(line.seconds):.0f} ms a photo")
    return 0


if __name__ == "__main__":
    console.run(main)
