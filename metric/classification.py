"""Top-1 and top-5 accuracy of classifiers on photos in class folders, beside chance."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cic.dataset.batches import Order, PhotoDataset
from cic.dataset.loader import Loader
from cic.networks import Network
from cic.photos.sources import report_name
from cic.system import provenance
from cic.system.arrays import Array
from cic.system.errors import InputError
from cic.system.progress import Callback, tell, told
from cic.system.randomness import noise_of
from cic.system.typing import Json
from cic.training.ranks import RANKS
from cic.weights import download, reading
from metric import bars, ledger, record
from metric.classifiers import count_each
from metric.figures.accuracy import Accuracy
from metric.figures.sums import Values
from metric.ledger import Ledger
from metric.runner import Runner
from metric.summary import Span, summarize

CHANCE = "chance"
BATCH = 16  # photos at once


class ByClass:
    """Accuracy over all photos and within each of the `classes`, by photo; mergeable."""

    def __init__(self, classes: Iterable[str]) -> None:
        self.total = Ledger(Accuracy())
        self.each = {name: Ledger(Accuracy()) for name in classes}

    def update(self, photos: Sequence[str], logits: Array, labels: Array) -> None:
        """Add photos: names (N,), logits (N, classes) and labels (N,), integers from 0."""
        count_each(self.total, photos, logits, labels)
        names = np.asarray(photos)
        for label, own in enumerate(self.each.values()):
            chosen = labels == label
            count_each(own, names[chosen].tolist(), logits[chosen], labels[chosen])

    def merge(self, other: "ByClass") -> None:
        """Add what `other` has seen."""
        self.total.merge(other.total)
        for mine, theirs in zip(self.each.values(), other.each.values()):
            mine.merge(theirs)

    def compute(self) -> Values:
        """Return {"top1": ..., "top5": ...}, percent."""
        return self.total.compute()

    def by_class(self) -> tuple[dict[str, Values], dict[str, dict[str, Span]]]:
        """Return ({class: {"top1": ..., "top5": ...}}, their intervals), percent, if it has
        photos.
        """
        found = {name: summarize({name: each}) for name, each in self.each.items() if each.photos}
        figures = {name: one.figures[name] for name, one in found.items()}
        return figures, {name: one.intervals[name] for name, one in found.items()}


def dataset(
    folder: str,
    network: Network,
    meta: Mapping[str, Json],
    classes: Sequence[str] | None = None,
    load_size: int | None = None,
) -> PhotoDataset:
    """Return the PhotoDataset of a folder for a classifier with the `meta` of its checkpoint.

    The classes are those of the checkpoint or, of one that names none, `classes`, or all the
    folders there are. Photos are seen as in training: the middle, at the recipe's load_size; what
    a mask hides follows from the run's seed. Raises ValueError if the classes are not as many as
    the network's outputs, or `classes` are not those of the checkpoint.
    """
    own = meta.get("classes")
    if None not in (own, classes) and own != classes:
        raise InputError("classes: not the classes, in this order, that the weights were made for")
    recipe = meta.get("recipe", {})
    load_size = load_size or max(recipe.get("load_size", 256), network.side)
    return PhotoDataset(
        [folder],
        network,
        load_size,
        network.side,
        seed=meta.get("seed", 0),
        augment=False,
        classes=own or classes,
    )


def measure(
    photos: PhotoDataset,
    predict: Callable[[Array], Array],
    workers: int = 0,
    most: int | None = None,
    progress: Callback | None = None,
) -> tuple[ByClass, list[str]]:
    """Return (ByClass, messages of photos that cannot be read) of a PhotoDataset.

    `predict` runs the network on (N, C, S, S) float32; only the first `most` photos, if given.
    Steps are told to `progress`, by default a bar.
    """
    accuracy = ByClass(photos.classes)  # type: ignore[arg-type]
    failures: list[str] = []
    count = min(len(photos), most or len(photos))
    order = Order(count, BATCH, shuffle=False)
    # A batch has no names, and none of those that cannot be read; the noise tells its photos apart.
    found, places = photos.photos, photos.photos.searched
    names = {noise_of(photos.seed, 0, i): report_name(found[i], places) for i in range(count)}
    with Loader(photos, order, workers) as loader, told(progress, "photo", count) as bar:
        for batch in loader.batches(0, order.steps_per_epoch):
            failures += batch.failures
            if len(batch.inputs):
                seen = [names[noise] for noise in batch.noise.tolist()]
                accuracy.update(seen, predict(batch.inputs), *batch.targets)
            bar.step(len(batch.inputs) + len(batch.failures))
    return accuracy, failures


@dataclass(frozen=True)
class Labelled:
    """Photos of `image_dir` in class folders, `most` of them or all.

    `classes` are the class folders' names in the order of the outputs; `load_size` is the short
    side, pixels, that the photos are shrunk to. None takes the weights' own, see `dataset`.
    """

    image_dir: str
    classes: Sequence[str] | None = None
    load_size: int | None = None
    most: int | None = None


class Classified(NamedTuple):
    """{file name: content}, the table as text, and whether every photo could be read."""

    contents: dict[str, str | bytes]
    text: str
    complete: bool


def evaluate(
    labelled: Labelled,
    rows: Mapping[str, tuple[str, Runner]],
    device: str = "auto",
    workers: int = 0,
    progress: Callback | None = None,
) -> Classified:
    """Measure {row: (file of a classifier's weights, backend)} on Labelled photos: Classified.

    Steps and lines are told to `progress`, see `cic.system.progress`; by default a bar is shown.
    Raises ValueError for weights of different classes.
    """
    found: dict[str, ByClass] = {}
    protocols: dict[str, Json] = {}
    failures: dict[str, None] = {}
    names = None
    for row, (weights, backend) in rows.items():
        network, state, meta = reading.load_weights(weights)
        photos = dataset(labelled.image_dir, network, meta, labelled.classes, labelled.load_size)
        if names not in (None, photos.classes):
            raise InputError(f"{weights}: of other classes than the weights before: measure apart")
        names = photos.classes
        predict = backend.predictor(network, state, device)
        measured = measure(photos, predict, workers, labelled.most, progress)
        found[row], messages = measured
        failures |= dict.fromkeys(messages)
        protocols[row] = facts(network, photos) | {
            "weights": os.path.basename(weights),
            "sha256": download.sha256(weights),
            **provenance.facts(backend.NAME),
        }
    for failure in failures:
        tell(f"skipped: {failure}", progress, sys.stderr)
    protocol = {"rows": protocols, "skipped": list(failures)}
    return Classified(*_rendered(found, names, protocol), not failures)  # type: ignore[arg-type]


def _rendered(
    found: Mapping[str, ByClass], names: Sequence[str], protocol: dict[str, Json]
) -> tuple[dict[str, str | bytes], str]:
    """Return ({file name: content}, the table as text) of {row: ByClass} and the classes' names."""
    totals = {row: accuracy.total for row, accuracy in found.items()}
    measured = summarize(totals)
    measured.figures[CHANCE] = chance(len(names))
    by_class = {row: accuracy.by_class() for row, accuracy in found.items()}
    written = {
        "photos": measured.photos,
        "figures": measured.figures,
        **measured.facts(),
        "by_class": {row: figures for row, (figures, _) in by_class.items()},
        "by_class_intervals": {row: intervals for row, (_, intervals) in by_class.items()},
        "protocol": protocol,
    }
    return {
        "evaluation.json": record.dumps(written),
        "evaluation.txt": measured.text(),
        "evaluation.png": bars.png(measured.figures, measured.intervals),
        "evaluation.npz": ledger.pack(totals, {"classes": names}),
    }, measured.text()


def chance(classes: int) -> dict[str, float]:
    """Return what guessing among that many classes gives, {"top1": ..., "top5": ...}, percent."""
    return {f"top{k}": 100 * min(1.0, k / classes) for k in RANKS}


def facts(network: Network, photos: PhotoDataset) -> dict[str, Json]:
    """Return what the accuracy of a network depends on, a JSON object."""
    return {
        "network": str(network),
        "input": network.input_words(),
        "masked": network.masked,
        "resize": f"short side to {photos.load_size} pixels, bicubic (Pillow)",
        "crop": f"the middle {photos.crop_size} x {photos.crop_size} pixels",
        "classes": len(photos.classes),  # type: ignore[arg-type]
    }
