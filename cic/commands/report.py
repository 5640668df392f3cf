"""Measure colorized photos by all figures at once: AuC, RMSE of ab, PSNR, SSIM, colourfulness.

cic report --imgs_dir photos/val --results_dir result --save_path figures
cic report --imgs_dir val --results_dir new --save_path small --resize 256 --crop 256
cic report --imgs_dir val --results_dir result --save_path figures --prior prior.npy

Results are paired with photos by relative path, extensions aside; all must be there, each as large
as its photo. A gray photo has no colour to find, but counts; transparency is ignored. The table
also has the baselines: the same photos all gray, with the colours of random other photos, and the
truth. Each figure has a 95 % interval, by bootstrap over the photos, and differences from all gray
have paired ones. Writes report.json, with a protocol card, report.txt (the tables), report.png
(AuC's curves), report_weight.png (how much of AuC's weight few photos hold) and report.npz (the
sums of each photo, with which cic compare sets a run against another).
"""

import argparse
import os
from collections.abc import Sequence

from cic.system import console, packages
from metric import heaviest, measuring, record
from metric.measuring import Folders
from metric.pairs import Cut


def parser(description: str = __doc__ or "", command: str = "report") -> argparse.ArgumentParser:
    parser = console.parser(description, command)
    add = parser.add_argument
    add("--imgs_dir", required=True, help="the true photos, searched at any depth")
    add("--results_dir", required=True, help="the colorized photos, same paths and stems")
    add("--save_path", required=True, help="folder for the figures")
    add("--prior", help=".npy file that rebalances (the bundled prior)")
    add("--resize", type=console.positive, help="shrink both to this short side first")
    add("--crop", type=console.positive, help="then take the middle square of this side of both")
    add("--seed", type=console.seed, default=0, help="of the random baseline (%(default)s)")
    add(
        "--seed_compatible",
        action="store_true",
        help="AuC as Paddle-CIC counts: error < threshold; a perfect picture has 99.67 %%",
    )
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser


def run(args: argparse.Namespace, key: str = "figures") -> None:
    """Measure with measuring.METRICS[key], write the files, print the table."""
    packages.need(*packages.MEASURE)
    stem = os.path.join(args.save_path, "auc" if key == "auc" else "report")
    paths = [stem + ending for ending in measuring.ENDINGS]
    measuring.refuse_outputs(paths, [args.imgs_dir, args.results_dir])
    folders = Folders(
        args.imgs_dir,
        args.results_dir,
        args.prior,
        Cut(args.resize, args.crop),
        args.seed,
        args.seed_compatible,
        args.num_workers,
    )
    found = measuring.measure_folders(folders, key)
    record.write(dict(zip(paths, found.contents)))
    print(found.summary.text(), end="")
    heaviest.warn_of(found.summary.heaviest)
    for line in measuring.note_lines(found.notes, found.summary.photos):
        print(line)
    print(f"have a look at {stem}.png")


def main(argv: Sequence[str] | None = None) -> None:
    run(parser().parse_args(argv))
