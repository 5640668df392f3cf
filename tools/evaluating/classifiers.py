"""Classifiers on photos in class folders: top-1 and top-5, in all and by class, beside chance."""

import os
import sys

import backends
from cic.colorize import settings
from cic.dataset.targets import read_classes
from cic.system import provenance
from cic.system.errors import InputError
from cic.weights import download, reading
from metric import bars, classification, ledger, record, summary

# Flags of the tool that say nothing of classifiers.
IDLE = (*settings.FLAGS, *settings.MORE_FLAGS, "crop", "temperatures", "prior", "seed_compatible")
IDLE += ("classifier", "gallery", "uncertainty", "compare")


def evaluate(args, rows):
    """Measure {row name: (weights, backend)} by the tool's arguments; the exit status."""
    idle = [name for name in IDLE if getattr(args, name) not in (None, False)]
    if idle := [f"--{name}".replace("--sizes", "--size") for name in idle]:
        raise InputError(f"{', '.join(idle)}: of no effect on classifiers")
    classes = args.classes and read_classes(args.classes)
    found, protocols, failures, names = {}, {}, {}, None
    for row, (weights, name) in rows.items():
        network, state, meta = reading.load_weights(weights)
        photos = classification.dataset(args.image_dir, network, meta, classes, args.resize)
        if names not in (None, photos.classes):
            raise InputError(f"{weights}: of other classes than the weights before: measure apart")
        names, backend = photos.classes, backends.get(name)
        predict = backend.predictor(network, state, args.device)
        measured = classification.measure(photos, predict, args.num_workers, args.max_samples)
        found[row], messages = measured
        failures |= dict.fromkeys(messages)
        protocols[row] = classification.facts(network, photos) | {
            "weights": os.path.basename(weights),
            "sha256": download.sha256(weights),
            **provenance.facts(backend.NAME),
        }
    for failure in failures:
        print(f"skipped: {failure}", file=sys.stderr)
    totals = {row: accuracy.total for row, accuracy in found.items()}
    measured = summary.summarize(totals)
    measured.figures[classification.CHANCE] = classification.chance(len(names))
    by_class = {row: accuracy.by_class() for row, accuracy in found.items()}
    facts = {
        "photos": measured.photos,
        "figures": measured.figures,
        **measured.facts(),
        "by_class": {row: figures for row, (figures, _) in by_class.items()},
        "by_class_intervals": {row: intervals for row, (_, intervals) in by_class.items()},
        "protocol": {"rows": protocols, "skipped": list(failures)},
    }
    drawn = {
        "json": record.dumps(facts),
        "txt": measured.text(),
        "png": bars.png(measured.figures, measured.intervals),
        "npz": ledger.pack(totals, {"classes": names}),
    }
    record.write(
        {os.path.join(args.save_path, f"evaluation.{end}"): data for end, data in drawn.items()}
    )
    print(measured.text(), end="")
    print(f"have a look at {args.save_path}")
    return int(bool(failures))
