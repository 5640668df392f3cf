"""Colorize and measure a folder of photos, several weights side by side; no picture is written.

python tools/evaluate.py --image_dir photos/val --save_path figures
python tools/evaluate.py --image_dir photos/val --save_path figures --max_samples 100 --compare 8
python tools/evaluate.py --image_dir photos/val --save_path figures --gallery 6 \\
    --weights full.safetensors no-rebalance.safetensors rebalance.safetensors \\
    --names Full Non-rebalance Rebalance

A row for each weights and backend, and for what they are read against: all gray, the colours of
random other photos, the truth. Each figure has a 95 % interval, by bootstrap over the photos, and
differences from all gray have paired ones. Writes evaluation.json, with a protocol card,
evaluation.txt (the tables), evaluation.png (AuC's curves), evaluation_weight.png (how much of AuC's
weight few photos hold), evaluation.npz (the sums of each photo, with which metric.compare sets a
run against another) and reliability.png (whether predicted probabilities come true, of networks
that give some); and what --gallery, --compare and --temperatures ask for.

Of weights of classifiers, whose photos lie in class folders, it gives top-1 and top-5 accuracy, in
all and by class, beside chance.
"""

import os
import sys
from functools import partial
from itertools import islice

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

import backends
from cic.colorize import settings
from cic.colour import prior
from cic.dataset.targets import read_classes
from cic.photos import sources
from cic.photos.sheet import contact_sheet
from cic.system import console, contents
from cic.system.errors import InputError, SettingError
from cic.system.text import printable
from cic.weights import download, reading
from metric import (
    acc,
    baselines,
    classification,
    curve,
    evaluation,
    gallery,
    heaviest,
    ledger,
    pairs,
    protocol,
    record,
    report,
    summary,
    table,
)
from metric.figures import calibration, temperature
from tools.evaluating import classifiers

COLUMN = 320  # pixels of a picture on the sheets
TAKEN = (baselines.GRAY, baselines.RANDOM, baselines.TRUTH, classification.CHANCE)


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, searched at any depth")
    add("--save_path", required=True, help="folder for the figures")
    add("--weights", nargs="+", default=[None], help="checkpoints (the bundled one)")
    add("--names", nargs="+", help="their names in the table (those of the files)")
    add("--backend", nargs="+", choices=backends.names(), help="frameworks (one that is installed)")
    add("--device", default="auto", help="auto, cpu, gpu, gpu:1 (%(default)s)")
    settings.add_flags(parser, more=True)
    add("--resize", type=console.positive, help="shrink photos to this short side first")
    add("--crop", type=console.positive, help="then take the middle square of this side")
    add("--max_samples", type=console.positive, help="measure so many photos, the first")
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
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def rows_of(args):
    """{row name: (weights, backend's name or None)} of every weights and backend."""
    names = args.names or [_stem(weights) for weights in args.weights]
    if len(names) != len(args.weights):
        raise SettingError(f"{len(names)} --names for {len(args.weights)} --weights")
    rows = {}
    for backend in dict.fromkeys(args.backend or [None]):
        for name, weights in zip(names, args.weights):
            row = f"{name} ({backend})" if args.backend and len(args.backend) > 1 else name
            if row in rows or row in TAKEN:
                raise SettingError(f"two rows are called {row}: choose other --names")
            if not row.isprintable():
                raise SettingError(f"{row!r}: a name is one line of text")
            rows[row] = weights, backend
    return rows


def open_colorizers(args):
    """{row name: colorizer} of every weights and backend."""
    colorizers = {}
    for row, (weights, backend) in rows_of(args).items():
        changes = settings.changes(args, more=True)
        colorizers[row] = backends.colorizer(weights, backend, args.device, **changes)
    return colorizers


def are_classifiers(args):
    """Whether the weights are those of classifiers; raises ValueError if only some are."""
    found = {reading.load_weights(weights)[0].is_classifier for weights in args.weights}
    if len(found) > 1:
        raise InputError("some of the --weights are of classifiers, others are not")
    return found.pop()


def _stem(weights):
    return os.path.splitext(os.path.basename(weights))[0] if weights else "bundled"


def open_classifiers(args, names):
    """({name: evaluation.Classifier}, {name: facts of its protocol}) of the photos `names`."""
    found, facts = {}, {}
    photos = [(name, name.partition(os.sep)[0]) for name in names]
    classes = args.classes and read_classes(args.classes)
    backend = backends.get(args.backend and args.backend[0])
    for weights in args.classifier or ():
        network, state, outputs = acc.load(weights)
        if (name := acc.title(network)) in found:
            raise InputError(f"two classifiers are called {name}: measure them apart")
        labelled = acc.labelled(args.image_dir, photos, outputs, classes)
        labels = {os.path.join(args.image_dir, name): label for name, label in labelled}
        run = partial(_recognise, network, backend.predictor(network, state, args.device))
        found[name] = evaluation.Classifier(run, network.size, labels)
        facts[name] = acc.facts(network, weights, backend.NAME)
    return found, facts


def _recognise(network, forward, views):
    return forward(acc.inputs(network, views))


def note_classes(args, names, recognisers):
    """Print which photos `names` are of no class."""
    for one in recognisers.values():
        others = [n for n in names if one.labels[os.path.join(args.image_dir, n)] is None]
        if others:
            print(acc.outside(others, len(names)))
            return


def read_all(args, cut, names):
    """(those of the names whose photos can be read, messages of the others)."""
    paths = [os.path.join(args.image_dir, name) for name in names]
    problems = evaluation.problems(paths, cut, args.num_workers)
    names = [name for name, problem in zip(names, problems) if not problem]
    problems = list(filter(None, problems))
    for problem in problems:
        print(f"skipped: {problem}", file=sys.stderr)
    if not names:
        raise InputError(f"{args.image_dir}: no photo in there that can be read")
    return names, problems


def card_of(args, cut, count, colorizers):
    """The protocol card, a JSON object."""
    frameworks = args.backend or [backends.get().NAME]
    card = protocol.card(count, cut, args.seed, args.seed_compatible, args.prior, *frameworks)
    files = [weights or reading.default_path() for weights in args.weights] * len(frameworks)
    rows = {
        name: {
            "weights": os.path.basename(file),
            "sha256": download.sha256(file),
            **one.settings.facts(),
        }
        for (name, one), file in zip(colorizers.items(), files)
    }
    del card["weights"], card["temperature"]
    return card | {"rows": rows, "device": args.device}


def by_temperature(rows, intervals):
    """Text of figures by temperature, and the best for each aim, of {name: evaluation.Row}."""
    parts = []
    for name, row in rows.items():
        figures = row.temperatures.compute()
        by_value = {format(one["temperature"], "g"): dict(one) for one in figures}
        for one in by_value.values():
            del one["temperature"]
        aims = temperature.best(figures).items()
        lines = "".join(f"best for {aim}: {value:g}\n" for aim, value in aims)
        head = f"{name} by temperature, on the cells that the network sees, not on full-size pixels"
        shown = table.text(by_value, dict(zip(by_value, intervals[name])))
        parts.append(f"{head}\n{shown}{lines}")
    return "\n".join(parts)


def draw_figures(ledgers, colorizers, card):
    """(Summary, text, {file: content}) of {name: Ledger}: files are figures, curves and text."""
    found = summary.summarize(ledgers)
    rows = {name: one.total for name, one in ledgers.items()}
    curves = {name: row.pictures.curve() for name, row in rows.items()}
    own = {name: rows[name] for name, one in colorizers.items() if one.has_distribution}
    facts = {"photos": card["count"], "figures": found.figures, **found.facts()}
    facts |= {"curves": curves, "protocol": card}
    text = found.text()
    if any(row.temperatures.each for row in own.values()):
        facts["temperatures"] = {name: row.temperatures.compute() for name, row in own.items()}
        spans = {n: row.temperatures.intervals(found.drawn.get(n, {})) for n, row in own.items()}
        facts["temperature_intervals"] = spans
        text += "\n" + by_temperature(own, spans)
    facts["reliability"] = {name: row.calibration.curve() for name, row in own.items()}
    files = {
        "evaluation.json": record.dumps(facts),
        "evaluation.txt": text,
        "evaluation.png": curve.png(curves),
        "evaluation_weight.png": heaviest.png(next(iter(ledgers.values()))),
        "evaluation.npz": ledger.pack(ledgers, protocol.conditions(card)),
    }
    if own:
        calibrations = {name: row.calibration for name, row in own.items()}
        files["reliability.png"] = calibration.png(calibrations)
    return found, text, files


def still_there(paths, before):
    """Indices of the paths whose files have not changed since `before`, their contents.state.

    The others are named: their figures and what a gallery would show are of two photos.
    """
    kept = [i for i, path in enumerate(paths) if before[i] == contents.state(path) is not None]
    for i in sorted(set(range(len(paths))).difference(kept)):
        print(f"not shown: {printable(paths[i])}: it changed while it was measured: measure again")
    return kept


def draw_gallery(args, names, show, errors, cells, drawings, card):
    """{file: content} of the gallery: the best and the worst photos by their `errors`."""
    groups = {
        heading: [
            gallery.Exhibit(printable(names[i]), f"RMSE of ab {errors[i]:.1f}", show(names[i]))
            for i in numbers
        ]
        for heading, numbers in zip(("Best", "Worst"), gallery.extremes(errors, args.gallery))
        if numbers
    }
    return {
        "gallery.html": gallery.page("Colorized photos", cells, drawings, groups, card),
        "gallery.png": record.png(gallery.sheet(groups, COLUMN)),
    }


def draw_comparison(args, names, show):
    """{file: content} of photos evenly spread over the set, as every colorizer shows them."""
    chosen = np.linspace(0, len(names) - 1, min(args.compare, len(names))).astype(int)
    rows = [show(names[i]) for i in chosen]
    captions = [caption for caption, _ in rows[0]]
    sheet = contact_sheet([[picture for _, picture in row] for row in rows], captions, COLUMN)
    return {"comparison.png": record.png(sheet)}


def check_outputs(args):
    """Raise ValueError or OSError, before any work, for a file that cannot be written."""
    names = [f"evaluation{ending}" for ending in report.ENDINGS] + ["reliability.png"]
    names += ["gallery.html", "gallery.png"] if args.gallery else []
    names += ["comparison.png"] if args.compare else []
    report.refuse_outputs([os.path.join(args.save_path, n) for n in names], [args.image_dir])
    if (args.alternatives > 1 or args.uncertainty) and not (args.gallery or args.compare):
        raise SettingError("--alternatives and --uncertainty are shown by --gallery and --compare")


def main():
    args = parse_arguments()
    check_outputs(args)
    if are_classifiers(args):
        return classifiers.evaluate(args, rows_of(args))
    shares = report.read_prior(args.prior) if args.prior else prior.default()
    grid = () if args.temperatures is None else args.temperatures or temperature.GRID
    cut = pairs.Cut(args.resize, args.crop)
    names = list(islice(sources.walk(args.image_dir), args.max_samples))
    colorizers = open_colorizers(args)
    recognisers, seen = open_classifiers(args, names)
    names, problems = read_all(args, cut, names)
    paths = [os.path.join(args.image_dir, name) for name in names]
    sides = tuple({one.side for one in recognisers.values()})
    how = evaluation.Protocol(shares, args.seed_compatible, cut, tuple(grid), sides, args.seed)
    before = list(map(contents.state, paths))
    rows, notes = evaluation.measure(paths, colorizers, how, args.num_workers, recognisers)
    ledger.name_from(rows, args.image_dir)
    card = card_of(args, cut, len(names), colorizers)
    card |= {"classifiers": seen, "skipped": problems}
    card |= {name: len(found) for name, found in notes.items()}
    found, text, written = draw_figures(rows, colorizers, card)

    def show(name):
        photo = cut.read(os.path.join(args.image_dir, name))[0]
        return gallery.show(photo, colorizers, args.alternatives, args.uncertainty)

    kept = still_there(paths, before)
    shown = [names[i] for i in kept]
    if args.gallery and kept:
        errors = [rows[next(iter(colorizers))].total.errors[i] for i in kept]
        drawings = {name: data for name, data in written.items() if name.endswith(".png")}
        written |= draw_gallery(args, shown, show, errors, found.cells(), drawings, card)
    if args.compare and kept:
        written |= draw_comparison(args, shown, show)
    record.write({os.path.join(args.save_path, name): data for name, data in written.items()})
    print(text, end="")
    heaviest.warn_of(found.heaviest)
    report.show_notes(notes, len(names))
    note_classes(args, names, recognisers)
    print(f"have a look at {args.save_path}")
    return int(bool(problems) or len(kept) < len(names))


if __name__ == "__main__":
    console.run(main)
