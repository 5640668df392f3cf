"""Measure colorizers on photos without writing pictures: figures are those of lossless files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from cic.colorize.colorizer import Colorizer, NotFinite, add_colour
from cic.colour.grid import Grid
from cic.colour.lab import rgb_to_lab
from cic.colour.rebalance import is_gray
from cic.photos import images
from cic.system import threads
from cic.system.arrays import Array, Bytes, Floats
from cic.system.parallel import Pool
from cic.system.progress import Callback, told
from metric import baselines
from metric.classifiers import square
from metric.figures.accuracy import Accuracy, by_classifier, qualified
from metric.figures.calibration import Calibration
from metric.figures.suite import Suite
from metric.figures.sums import Values, of_those
from metric.figures.temperature import Temperatures
from metric.ledger import Ledger
from metric.measuring import NOTES
from metric.pairs import Cut

NO_CLASSIFIER: Mapping[str, "Classifier"] = MappingProxyType({})


class Protocol(NamedTuple):
    """How a photo is measured: AuC's `shares` (313,) and `strict`, and how pictures are `cut`.

    `grid` has the temperatures to compare, none by default; `sides` are those of the classifiers'
    inputs, pixels; `seed` is that of the random baseline.
    """

    shares: Array
    strict: bool
    cut: Cut
    grid: tuple[float, ...] = ()
    sides: tuple[int, ...] = ()
    seed: int = 0


class Classifier(NamedTuple):
    """A classifier of the pictures: `run` gives logits (N, classes) of (N, S, S, 3) uint8.

    S is the `side`; `labels` are {path: label} of the photos, None for a photo of no class.
    """

    run: Callable[[Bytes], Array]
    side: int
    labels: dict[str, int | None]


class Prediction(NamedTuple):
    """A colorizer's prediction for a photo: ab (h, w, 2), and the true ab.

    `logits` (313, h, w) is None if the network gives no probabilities. `grid` and `guide` are
    arguments of `add_colour`.
    """

    ab: Floats
    logits: Floats | None
    true_ab: Floats
    grid: Grid
    guide: Floats | None


class Row:
    """All figures of one way to colorize, of a colorizer or a baseline; mergeable.

    Each photo has its own; a ledger.Ledger puts them together.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.pictures = Suite(protocol.shares, protocol.strict)
        self.calibration = Calibration()
        self.temperatures = Temperatures(protocol.grid, protocol.shares)
        self.accuracies: dict[str, Accuracy] = {}  # of each classifier
        self.errors: list[float] = []  # of each photo, RMSE of ab

    def update(self, photo: Bytes, picture: Bytes, prediction: Prediction | None = None) -> None:
        """Add a photo and the picture made of it, and the Prediction that it was made from."""
        self.pictures.update(photo, picture)
        self.errors.append(self.pictures.error())
        if prediction and prediction.logits is not None:
            self.calibration.update(prediction.logits, prediction.true_ab)
            self.temperatures.update(prediction.logits, prediction.true_ab)

    def recognise(self, classifier: str, logits: Array, label: int | None) -> None:
        """Add what a classifier of that name says of the picture, (classes,), to be `label`.

        A picture whose label is None, of no class, counts for nothing: its sums are zeros.
        """
        accuracy = self.accuracies.setdefault(classifier, Accuracy())
        if label is not None:
            accuracy.update(logits[None], np.array([label]))

    def merge(self, other: "Row") -> None:
        """Add what `other` has seen."""
        for part in ("pictures", "calibration", "temperatures"):
            getattr(self, part).merge(getattr(other, part))
        for name, accuracy in other.accuracies.items():
            self.accuracies.setdefault(name, Accuracy()).merge(accuracy)
        self.errors += other.errors

    @property
    def sums(self) -> Values:
        """{column: number}; of the distribution and the classes only what there is."""
        found = self.pictures.sums
        for name, accuracy in self.accuracies.items():
            found |= qualified(accuracy.sums, name)
        if self.calibration.cells.any():
            found |= self.calibration.sums | self.temperatures.sums
        return found

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {figure: number or array} of {column: number or array}, of what columns there
        are.
        """
        found = Suite.of(sums) | of_those((Accuracy,), sums)
        for name, own in by_classifier(sums).items():
            found |= qualified(Accuracy.of(own), name)
        return found | of_those((Calibration,), sums)


# A photo's path, that of the photo that lends it colours, and what colorizers say of it.
Job: TypeAlias = tuple[str, str | None, dict[str, Prediction]]


def problems(
    paths: Sequence[str], cut: Cut, workers: int = 0, progress: Callback | None = None
) -> list[str | None]:
    """Return [message of each photo that cannot be read, None of the others]; see `measure`."""
    with (
        Pool(workers, _problem, cut) as pool,
        told(progress, "photo", len(paths), desc="reading") as bar,
    ):
        return list(bar.each(pool.map(paths)))


def _problem(cut: Cut, path: str) -> str | None:
    try:
        cut.read(path)
    except images.PhotoError as error:
        return str(error)
    return None


def measure(
    paths: Sequence[str],
    colorizers: Mapping[str, Colorizer],
    protocol: Protocol,
    workers: int = 0,
    classifiers: Mapping[str, Classifier] = NO_CLASSIFIER,
    progress: Callback | None = None,
    lenders: Sequence[str | None] | None = None,
) -> tuple[dict[str, Ledger], dict[str, list[str]]]:
    """Return ({name: Ledger of Row}, {note: paths}) of {name: colorizer} and the baselines.

    Networks run in this process, pictures are made and measured in `workers`; the figures do not
    depend on their number. Photos are named by their paths. `classifiers` are {name: Classifier},
    of the protocol's sides; the notes are measuring.NOTES. `lenders` are the paths of the photos
    that lend each its colours, by default of these photos. Steps are told to `progress`, see
    `cic.system.progress`; by default a bar is shown. Raises images.PhotoError.
    """
    rows: dict[str, Ledger] = {}
    notes: dict[str, list[str]] = {name: [] for name in NOTES}
    if lenders is None:
        donors = baselines.donors(len(paths), protocol.seed)
        lenders = [None if donor is None else paths[donor] for donor in donors]
    jobs = _predicted(paths, lenders, colorizers, protocol)
    with (
        Pool(workers, _measure_photo, protocol) as pool,
        threads.batch_of(workers + 1),
        told(progress, "photo", len(paths), desc="measuring") as bar,
    ):
        for number, (measured, views, noted) in enumerate(bar.each(pool.map(jobs))):
            for name in noted:
                notes[name].append(paths[number])
            for name, one in classifiers.items():
                label = one.labels[paths[number]]
                seen = [None] * len(measured) if label is None else one.run(views[one.side])
                for row, logits in zip(measured.values(), seen):
                    row.recognise(name, logits, label)
            for name, row in measured.items():
                rows.setdefault(name, Ledger(Row(protocol))).add(paths[number], row)
    return rows, notes


def _predicted(
    paths: Sequence[str],
    lenders: Sequence[str | None],
    colorizers: Mapping[str, Colorizer],
    protocol: Protocol,
) -> Iterator[Job]:
    """Yield the job of each photo: its path, that of the photo that lends it colours, and a
    Prediction of each colorizer.
    """
    for path, lender in zip(paths, lenders):
        image = Image.fromarray(protocol.cut.read(path)[0])
        yield path, lender, _predictions(path, image, colorizers)


def _predictions(
    path: str, image: Image.Image, colorizers: Mapping[str, Colorizer]
) -> dict[str, Prediction]:
    """Return {name: Prediction} of each colorizer; raise PhotoError, naming the photo and the
    weights.
    """
    try:
        return {name: predict(colorizer, image) for name, colorizer in colorizers.items()}
    except NotFinite as error:
        raise images.PhotoError(f"{path!r}: {error}") from None


def predict(colorizer: Colorizer, image: Image.Image) -> Prediction:
    """Return the Prediction for a Pillow image of mode RGB."""
    output, light = colorizer.output(image), colorizer.light(image)
    # In the layout in which `colorizer.ab` has it: sums depend on it, and pictures on those.
    ab = colorizer.ab_of(output, light)
    # One layout here and on arrival in a worker, for the same reason.
    logits = np.ascontiguousarray(output) if colorizer.has_distribution else None
    return Prediction(ab, logits, colorizer.true_ab(image), colorizer.grid, colorizer.guide(light))


def _measure_photo(
    protocol: Protocol, job: Job
) -> tuple[dict[str, Row], dict[int, Bytes], list[str]]:
    """Return ({name: Row}, {side: what a classifier is to see of the pictures}, names of notes).

    A classifier sees (n, S, S, 3) uint8.
    """
    path, donor, predictions = job
    photo, _, transparent = protocol.cut.read(path)
    seen = {"gray_photos": is_gray(rgb_to_lab(photo)[..., 1:]), "with_transparency": transparent}
    notes = [name for name, holds in seen.items() if holds]
    pictures = {name: add_colour(photo, p.ab, p.grid, p.guide) for name, p in predictions.items()}
    pictures |= baselines.pictures(photo, None if donor is None else protocol.cut.read(donor)[0])
    rows = {}
    for name, picture in pictures.items():
        rows[name] = Row(protocol)
        rows[name].update(photo, picture, predictions.get(name))
    whole = [Image.fromarray(picture) for picture in pictures.values()]
    views = {side: np.stack([square(p, side) for p in whole]) for side in protocol.sides}
    return rows, views, notes
