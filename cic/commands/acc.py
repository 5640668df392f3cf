"""Measure the accuracy of a classifier on colorized photos, top-1 and top-5, beside baselines.

cic acc --results_dir result --save_path figures --imgs_dir photos/val
cic acc --results_dir result --save_path figures --weights lite0.safetensors
cic acc --results_dir result --save_path top --weights vgg16.pth --classes names.txt

The classifier is VGG-16 (paper, section 3.1) unless --weights is another, which the table names.
The results lie in class folders: one for each output of the network in sorted order, those that
--classes names, or some of ImageNet's 1,000, named by their WordNet ids. As in Callifrey/Paddle-CIC
(metrics_acc.py), the short side of a photo is resized to 224 pixels, bilinearly, and the middle
square taken. Gray photos count, and so do those with alpha, which is dropped. --imgs_dir adds three
rows: the true photos, the same all gray, and the same with the colours of random others. Writes
acc.json, acc.png, and acc.npz: which photos were right, for cic compare.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import backends
from cic.system import console, files, packages
from metric import record
from metric.recognition import Recognition


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "acc")
    add = parser.add_argument
    add("--results_dir", required=True, help="the colorized photos, in class folders")
    add("--save_path", required=True, help="folder for acc.json")
    add("--imgs_dir", help="the true photos, same folders and stems: adds the baselines")
    add("--weights", help="of a classifier, in any known format (torchvision's VGG-16, downloaded)")
    add("--classes", help="file of the class folders' names, one a line, in the outputs' order")
    add("--batch_size", type=console.positive, default=10, help="photos at once (%(default)s)")
    add("--seed", type=console.seed, default=0, help="of the random baseline (%(default)s)")
    backends.add_flags(parser)
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    packages.need(*packages.MEASURE)
    stem = os.path.join(args.save_path, "acc")
    files.check(f"{stem}.json")
    recognition = Recognition(
        args.results_dir, args.imgs_dir, args.classes, args.batch_size, args.seed, args.num_workers
    )
    found = recognition.open(args.weights).measure(backends.get(args.backend), args.device)
    for message in found.failures:
        print(f"error: {message}", file=sys.stderr)
    if found.failures:
        return 1
    contents, text = found.rendered()
    record.write({stem + ending: content for ending, content in contents.items()})
    print(text, end="")
    return 0
