"""Colorize and measure a folder of photos, several weights side by side; no picture is written.

cic evaluate --image_dir photos/val --save_path figures
cic evaluate --image_dir photos/val --save_path figures --max_samples 100 --compare 8
cic evaluate --image_dir photos/val --save_path figures --gallery 6 \\
    --weights full.safetensors no-rebalance.safetensors rebalance.safetensors \\
    --names Full Non-rebalance Rebalance

The table has a row for each weights and backend, and rows for the baselines: all gray, the colours
of random other photos, the truth. Each figure has a 95 % interval, by bootstrap over the photos,
and differences from all gray have paired ones. Writes evaluation.json, with a protocol card,
evaluation.txt (the tables), evaluation.png (AuC's curves), evaluation_weight.png (how much of AuC's
weight few photos hold), evaluation.npz (the sums of each photo, with which cic compare sets a run
against another) and reliability.png (whether predicted probabilities come true, for networks that
give some). --gallery, --compare and --temperatures add more.

For weights of classifiers, whose photos must lie in class folders, it gives top-1 and top-5
accuracy, overall and by class, beside chance.
"""

import argparse
import os
import shlex
from collections.abc import Sequence
from typing import Any

import backends
from cic.colorize import settings
from cic.colorize.colorizer import Colorizer
from cic.dataset.targets import read_classes
from cic.system import console, packages, shares
from cic.system.errors import InputError, SettingError
from cic.system.invocation import typed
from cic.system.shares import Share
from cic.weights import reading
from metric import classification, evaluating, heaviest, joining, record
from metric.evaluating import Study
from metric.figures import temperature
from metric.pairs import Cut

# Flags that say nothing of classifiers.
IDLE: tuple[str, ...] = (
    *settings.FLAGS,
    *settings.MORE_FLAGS,
    "crop",
    "temperatures",
    "prior",
    "seed_compatible",
)
IDLE += ("seed_compatible", "classifier", "gallery", "uncertainty", "compare")


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "evaluate")
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image_dir", help="folder of photos, or an address, searched at any depth")
    what.add_argument(
        "--merge", nargs="+", metavar="NPZ", help="put the files of all shares together"
    )
    add("--save_path", required=True, help="folder for the figures")
    add("--weights", nargs="+", default=[None], help="checkpoints (the bundled one)")
    add("--names", nargs="+", help="their names in the table (those of the files)")
    add("--backend", nargs="+", choices=backends.names(), help="frameworks (one that is installed)")
    add("--device", default="auto", help="auto, cpu, gpu, gpu:1 (%(default)s)")
    settings.add_flags(parser, more=True)
    add("--resize", type=console.positive, help="shrink photos to this short side first")
    add("--crop", type=console.positive, help="then take the middle square of this side")
    add("--max_samples", type=console.positive, help="measure only the first N photos", metavar="N")
    add("--prior", help=".npy file that rebalances AuC (the bundled prior)")
    add("--seed", type=console.seed, default=0, help="of the random baseline (%(default)s)")
    add(
        "--seed_compatible", action="store_true", help="AuC as Paddle-CIC counts: error < threshold"
    )
    add(
        "--classifier",
        nargs="+",
        metavar="FILE",
        help="weights of VGG-16, EfficientNet-Lite, ...: adds the accuracy of each; class folders",
    )
    add("--classes", help="names of the class folders, one a line, in the order of its outputs")
    add(
        "--gallery",
        type=console.positive,
        metavar="N",
        help="up to N best and N worst photos of the first row: gallery.html and gallery.png",
    )
    add(
        "--alternatives",
        type=console.positive,
        default=1,
        metavar="K",
        help="show the K most likely distinct colourings in the gallery",
    )
    add("--uncertainty", action="store_true", help="show where the network is unsure, too")
    add(
        "--compare", type=console.positive, metavar="N", help="N photos by all rows: comparison.png"
    )
    add(
        "--temperatures",
        type=console.temperature,
        nargs="*",
        metavar="T",
        help="figures by temperature, and the best for each aim (a range of them)",
    )
    console.add_share(parser)
    console.add_num_workers(parser)
    console.add_threads(parser)
    console.add_max_pixels(parser)
    return parser


def rows_of(
    args: argparse.Namespace,
) -> dict[str, tuple[Any, Any]]:  # weights of classifiers are named, of colorizers maybe not
    """Return {row name: (weights, backend's name or None)} of every weights and backend."""
    names = args.names or [_stem(weights) for weights in args.weights]
    if len(names) != len(args.weights):
        raise SettingError(f"{len(names)} --names for {len(args.weights)} --weights")
    rows = {}
    for backend in dict.fromkeys(args.backend or [None]):
        for name, weights in zip(names, args.weights):
            row = f"{name} ({backend})" if args.backend and len(args.backend) > 1 else name
            if row in rows:
                raise SettingError(f"two rows are called {row}: choose other --names")
            rows[row] = weights, backend
    evaluating.check_rows(rows)
    return rows


def _stem(weights: str | None) -> str:
    return os.path.splitext(os.path.basename(weights))[0] if weights else "bundled"


def open_colorizers(args: argparse.Namespace) -> dict[str, Colorizer]:
    """Return {row name: colorizer} of every weights and backend."""
    changes = settings.changes(args, more=True)
    return {
        row: backends.colorizer(weights, backend, args.device, **changes)
        for row, (weights, backend) in rows_of(args).items()
    }


def are_classifiers(args: argparse.Namespace) -> bool:
    """Return whether the weights are those of classifiers; raise ValueError if only some are."""
    found = {reading.load_weights(weights)[0].is_classifier for weights in args.weights}
    if len(found) > 1:
        raise InputError("some of the --weights are of classifiers, others are not")
    return found.pop()


def study_of(args: argparse.Namespace) -> Study:
    """Return the Study that the flags describe."""
    grid = () if args.temperatures is None else args.temperatures or temperature.GRID
    return Study(
        args.image_dir,
        most=args.max_samples,
        cut=Cut(args.resize, args.crop),
        prior=args.prior,
        seed=args.seed,
        strict=args.seed_compatible,
        temperatures=tuple(grid),
        gallery=args.gallery or 0,
        comparison=args.compare or 0,
        alternatives=args.alternatives,
        uncertainty=args.uncertainty,
        num_workers=args.num_workers,
        share=args.share,
    )


def measure_colorizers(args: argparse.Namespace, study: Study) -> bool:
    """Measure networks that colorize; write and print it; whether no photo was left out."""
    colorizers = open_colorizers(args)
    backend = backends.get(args.backend and args.backend[0])
    classes = args.classes and read_classes(args.classes)
    recognisers = evaluating.recognisers(
        study, args.classifier or (), classes, backend, args.device
    )
    frameworks = args.backend or [backend.NAME]
    found = evaluating.evaluate(study, colorizers, recognisers, frameworks, args.device)
    show(args, found)
    heaviest.warn_of(found.heaviest)
    for line in found.lines:
        print(line)
    return found.complete


def measure_classifiers(args: argparse.Namespace) -> bool:
    """Measure classifiers; write and print it; whether no photo was left out."""
    idle = [name for name in IDLE if getattr(args, name) not in (None, False)]
    if idle := [f"--{name}".replace("--sizes", "--size") for name in idle]:
        raise InputError(f"{', '.join(idle)}: of no effect on classifiers")
    if not args.share.is_whole:
        raise SettingError(f"share {args.share}: classifiers are measured in one run")
    classes = args.classes and read_classes(args.classes)
    rows = {row: (weights, backends.get(name)) for row, (weights, name) in rows_of(args).items()}
    photos = classification.Labelled(args.image_dir, classes, args.resize, args.max_samples)
    found = classification.evaluate(photos, rows, args.device, args.num_workers)
    show(args, found)
    return found.complete


def merge(args: argparse.Namespace) -> int:
    """Put the files of shares together; write and print it."""
    used = ("help", "merge", "save_path")
    given = [a for a in parser()._actions if a.dest not in used]
    if idle := [a.option_strings[0] for a in given if getattr(args, a.dest) != a.default]:
        raise SettingError(f"{', '.join(idle)}: of no effect on --merge")
    joining.check_outputs(args.save_path)
    found = joining.merge(args.merge)
    show(args, found)
    heaviest.warn_of(found.heaviest)
    return int(not found.complete)


def show(args: argparse.Namespace, found: Any) -> None:
    """Print the tables, which a full disk does not take, and write the files."""
    print(found.text, end="", flush=True)
    record.save(args.save_path, found.contents)


def next_step(share: Share, folder: str) -> str:
    """Return what to do once the files in `folder` are written, a line."""
    if share.is_whole:
        return f"have a look at {folder}"
    place = shlex.quote(folder)
    files = os.path.join(place, f"evaluation.*-of-{share.of}.npz")
    return (
        f"when all {share.of} shares are measured: "
        f"{typed('evaluate')} --merge {files} --save_path {place}"
    )


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    packages.need(*packages.MEASURE)
    if args.merge:
        return merge(args)
    args.share = shares.resolve(args.share)
    study = study_of(args)
    study.check_outputs(args.save_path)
    if are_classifiers(args):
        complete = measure_classifiers(args)
    else:
        complete = measure_colorizers(args, study)
    print(next_step(args.share, args.save_path))
    return int(not complete)
