"""Colorize photos, films, and folders of both, at their full resolution.

cic colorize old.jpg album/ -o coloured
cic colorize film.mp4 -o new.mp4
cic colorize old.jpg -o new.jpg --alternatives 4 --uncertainty

Without -o the result of old.jpg is old-colorized.jpg beside it; no file is ever replaced then.
PATH - is standard input, -o - standard output: a photo in, a photo out, all messages to standard
error.

The third command also writes new-alternative-2.jpg to new-alternative-4.jpg, the next most likely
distinct colourings, new-alternatives.jpg, all side by side, and new-uncertainty.png, a map of where
the network is unsure of the colours. The bits on the sheet say how far a colouring is from the one
that the network holds most likely.

A film (pip install av) keeps its sound, rate, timestamps and shape. Its colours are averaged over
the frames of a shot, so that they flicker less. A line for each film says how much: the mean change
of ab from frame to frame where the lightness stays, in CIELAB units. Sound that the players of the
new file do not know becomes AAC (Opus in WebM); the command names what it leaves out before the
first frame. With --reference frame.png, a frame that was coloured by hand, its shot follows these
colours.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import backends
from cic.colorize import hints, jobs, piped, settings, work
from cic.colorize.batch import Part, Pictures
from cic.colorize.cluster import Cluster
from cic.colorize.colorizer import Colorizer
from cic.colorize.smoothing import SMOOTHING
from cic.colorize.work import Worker
from cic.photos import sources
from cic.system import cluster, console, pipes, shares
from cic.system.addresses import is_address
from cic.system.errors import InputError, SettingError
from cic.system.files import check, replacing
from cic.system.pipes import STANDARD
from metric.figures.flicker import FilmFigures

FORMATS = ("png", "jpg", "tif", "webp", "bmp")  # of standard output
# Flags that mean several files or pictures.
NOT_PIPED = (
    "alternatives", "uncertainty", "all_pages", "smoothing", "deinterlace", "skip_existing",
    "manifest", "share", "ray", "reference",
)  # fmt: skip
# Flags that mean one photo, one machine, or any number of results of a photo.
NOT_ON_RAY = ("share", "hints", "all_pages", "smoothing", "deinterlace", "reference")


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "colorize")
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photos, films, and folders searched at any depth, also at an address such as "
        "s3://bucket/scans; - is standard input",
    )
    add(
        "-o",
        "--output",
        help="folder or address to write to; for one file, also its name; - is standard output "
        "(beside each file, as NAME-colorized)",
    )
    add("--format", choices=FORMATS, help="of a photo on standard output (png)")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    settings.add_flags(parser)
    add(
        "--alternatives",
        type=console.positive,
        default=1,
        metavar="K",
        help="the K most likely distinct colourings, and a sheet of them (%(default)s: no others)",
    )
    add("--uncertainty", action="store_true", help="a map of where the network is unsure, too")
    add("--hints", metavar="JSON", help="colours at places of a photo, which spread: see the guide")
    add(
        "--all_pages",
        action="store_true",
        help="every page or frame: of a TIFF to a TIFF of pages, else each to a file of its own",
    )
    add(
        "--no-stretch",
        action="store_true",
        help="leave numbers that do not reach white, as of 12 bits in 16, as they are",
    )
    add(
        "--smoothing",
        type=smoothing,
        default=SMOOTHING,
        metavar="S",
        help="weight of a film's frames before in its colours, 0 (none) to 0.99 (%(default)s)",
    )
    add(
        "--reference",
        action="append",
        default=[],
        metavar="PHOTO",
        help="coloured frame of a film, which its shot follows; several times for several shots",
    )
    add("--deinterlace", action="store_true", help="make whole pictures of a tape's fields (bwdif)")
    add(
        "--skip_existing",
        action="store_true",
        help="leave results alone that are there: a run that was stopped goes on",
    )
    add(
        "--manifest",
        metavar="JSONL",
        help="file to add a line to for each photo: its result, seconds, error",
    )
    console.add_share(parser)
    add(
        "--ray",
        type=ray_address,
        metavar="ADDRESS",
        help="spread the photos over a cluster of Ray: host:port, auto (the one that is here), or "
        "local (one is started here)",
    )
    console.add_threads(parser)
    console.add_max_pixels(parser)
    return parser


def ray_address(text: str) -> str:
    """argparse type: the address of a cluster."""
    try:
        return cluster.address(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def smoothing(text: str) -> float:
    """argparse type: a number from 0 to 0.99."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 0.99:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 0.99")
    return number


def hints_of(args: argparse.Namespace) -> Sequence[hints.Hint]:
    """Return the hints of --hints; none without."""
    return hints.read(args.hints) if args.hints else ()


def pipe(args: argparse.Namespace) -> None:
    """Colorize a photo from standard input, or to standard output, or both."""
    default = parser().parse_args([STANDARD])
    if len(args.paths) > 1:
        raise SettingError(f"{', '.join(args.paths)}: through a pipe goes one photo: name one")
    for name in NOT_PIPED:
        if getattr(args, name) != getattr(default, name):
            raise SettingError(f"--{name}: not through a pipe, where one photo goes: name files")
    if args.output is None:
        raise SettingError("-: where to? -o - is standard output; or name a file")
    if args.output != STANDARD:
        if args.format:
            raise SettingError("--format: of -o - alone; of a file its ending says it")
        if not is_address(args.output):
            check(args.output)
        data = piped_bytes(args, os.path.splitext(args.output)[1].lower())
        with replacing(args.output) as fresh, open(fresh, "wb") as file:
            file.write(data)
        return
    with pipes.standard_output() as standard:
        standard.write(piped_bytes(args, f".{args.format or FORMATS[0]}"))


def piped_bytes(args: argparse.Namespace, ending: str) -> bytes:
    """Return the coloured photo of the only path, in the format of an ending; notes go to the
    error.
    """
    [path] = args.paths
    source, colorizer = piped.source_of(path), colorizer_of(args)
    made = piped.colorize(
        colorizer, source, ending, stretched=not args.no_stretch, hints=hints_of(args)
    )
    for note in made.notes:
        print(f"{path}: {note}", file=sys.stderr)
    return made.data


def refuse_with_ray(args: argparse.Namespace) -> None:
    """Raise SettingError for what goes with one machine alone."""
    default = parser().parse_args([STANDARD])
    for name in NOT_ON_RAY:
        if getattr(args, name) != getattr(default, name):
            raise SettingError(f"--{name}: not with --ray: leave one of them out")
    if ":" in args.device:
        raise SettingError(f"--device {args.device}: Ray chooses the GPU of each process: gpu")
    if films := [path for path in args.paths if not jobs.is_folder(path) and sources.is_film(path)]:
        raise SettingError(f"{films[0]}: a film is coloured on one machine: leave out --ray")


def ray_of(args: argparse.Namespace) -> AbstractContextManager[Any]:
    """Ray, connected to the cluster of --ray; a context of None without."""
    if not args.ray:
        return nullcontext()
    refuse_with_ray(args)
    return cluster.connected(args.ray)


def colorizer_of(args: argparse.Namespace) -> Colorizer:
    """Return the colorizer that the flags describe."""
    changes = settings.changes(args)
    return backends.colorizer(args.weights, args.backend, args.device, **changes)


def worker_of(args: argparse.Namespace, pictures: Pictures, films: bool, ray: Any) -> Worker:
    """Return the Worker: the cluster that `ray` is connected to, or this process; `films` says
    whether there are any.
    """
    if ray:
        backend, changes = backends.get(args.backend).NAME, settings.changes(args)
        make = partial(backends.colorizer, args.weights, backend, args.device, **changes)
        on_gpus = args.device != "cpu" and backend != "onnx"
        return Cluster(ray, make, pictures, on_gpus, args.output)
    colorizer = colorizer_of(args)
    if not films:
        return work.local_worker(colorizer, pictures)
    from cic.colorize.film import film_worker  # heavy, and photos need none of it

    how = args.smoothing, args.deinterlace, args.reference
    return work.local_worker(colorizer, pictures, film_worker(colorizer, *how, FilmFigures))


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    if STANDARD in args.paths or args.output == STANDARD:
        pipe(args)
        return 0
    if args.format:
        raise SettingError("--format: of -o - alone; files keep their own, or have their name's")
    with ray_of(args) as ray:
        part = Part(shares.resolve(args.share), args.skip_existing, args.manifest)
        listing = jobs.find(args.paths, args.output, films=True)
        films = any(sources.is_film(source) for source, _ in listing.jobs)
        for name in ("deinterlace", "reference"):
            if getattr(args, name) and not films:
                raise InputError(f"--{name}: there is no film among them")
        several = args.alternatives, args.uncertainty
        pictures = Pictures(args.all_pages, *several, not args.no_stretch, hints_of(args))
        pictures.check_jobs(listing.jobs)
        worker = worker_of(args, pictures, films, ray)
        outcome = listing.run(worker, part=part)
    for line in listing.left_out if part.share.is_first else ():
        print(line)
    print(outcome if args.output is None else f"{args.output}: {outcome}")
    return int(outcome.failed > 0)
