"""Colorizers measured on photos, no picture written: the figures are those of lossless files."""

from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic import images
from cic.colorize import NotFinite, add_colour
from cic.lab import rgb_to_lab
from cic.parallel import Pool
from cic.rebalance import is_gray
from metric import acc, baselines
from metric.calibration import Calibration
from metric.report import NOTES
from metric.suite import Suite
from metric.temperature import Temperatures


class Protocol(NamedTuple):
    """What a photo is measured by: AuC's `shares` (313,) and `strict`, and how pictures are `cut`.

    `grid` has the temperatures to compare, none by default; `side` is that of a classifier's input,
    pixels, None without one; `seed` that of the random baseline.
    """

    shares: np.ndarray
    strict: bool
    cut: object
    grid: tuple = ()
    side: int | None = None
    seed: int = 0


class Prediction(NamedTuple):
    """What a colorizer says of a photo: ab (h, w, 2), and the true ab.

    `logits` (313, h, w) are None of a network that gives no probabilities.
    """

    ab: np.ndarray
    logits: np.ndarray | None
    true_ab: np.ndarray
    stride: int


class Row:
    """All figures of one way to colorize, of a colorizer or a baseline; mergeable."""

    def __init__(self, protocol):
        self.pictures = Suite(protocol.shares, protocol.strict)
        self.calibration = Calibration()
        self.temperatures = Temperatures(protocol.grid, protocol.shares)
        self.accuracy = acc.Accuracy()
        self.errors = []  # of each photo, RMSE of ab

    def update(self, photo, picture, prediction=None):
        """Add a photo and the picture made of it, and the Prediction that it was made from."""
        self.pictures.update(photo, picture)
        self.errors.append(self.pictures.error())
        if prediction and prediction.logits is not None:
            self.calibration.update(prediction.logits, prediction.true_ab)
            self.temperatures.update(prediction.logits, prediction.true_ab)

    def merge(self, other):
        """Add what `other` has seen."""
        for part in ("pictures", "calibration", "temperatures", "accuracy"):
            getattr(self, part).merge(getattr(other, part))
        self.errors += other.errors

    def compute(self):
        """{name: figure}; of the distribution and the classes only what there is."""
        figures = self.pictures.compute()
        if self.accuracy.count:
            figures |= self.accuracy.compute()
        if self.calibration.cells.any():
            distribution = self.calibration.compute()
            figures |= {name: distribution[name] for name in ("nll", "ece")}
        return figures


def problems(paths, cut, workers=0):
    """[message of each photo that cannot be read, None of the others], with a progress bar."""
    with Pool(workers, _problem, cut) as pool:
        return list(tqdm(pool.map(paths), total=len(paths), unit="photo", desc="reading"))


def _problem(cut, path):
    try:
        cut.read(path)
    except images.PhotoError as error:
        return str(error)
    return None


def measure(paths, colorizers, protocol, workers=0, classify=None, labels=()):
    """({name: Row}, {note: paths}) of {name: colorizer} and the baselines, with a progress bar.

    Networks run in this process, pictures are made and measured in `workers`; the figures do not
    depend on their number. `classify` runs a classifier on (N, S, S, 3) uint8, `labels` are the
    photos' classes; the notes are report.NOTES. Raises images.PhotoError.
    """
    rows, notes = {}, {name: [] for name in NOTES}
    jobs = _predicted(paths, colorizers, protocol)
    with Pool(workers, _measure_photo, protocol) as pool:
        bar = tqdm(pool.map(jobs), total=len(paths), unit="photo", desc="measuring")
        for number, (measured, views, noted) in enumerate(bar):
            for name in noted:
                notes[name].append(paths[number])
            if classify:
                for row, logits in zip(measured.values(), classify(views)):
                    row.accuracy.update(logits[None], labels[number : number + 1])
            for name, row in measured.items():
                rows.setdefault(name, Row(protocol)).merge(row)
    return rows, notes


def _predicted(paths, colorizers, protocol):
    """Yield the job of each photo: its path, that of the photo that lends it colours, and a
    Prediction of each colorizer.
    """
    donors = baselines.donors(len(paths), protocol.seed)
    for path, donor in zip(paths, donors):
        image = Image.fromarray(protocol.cut.read(path)[0])
        predictions = _predictions(path, image, colorizers)
        yield path, None if donor is None else paths[donor], predictions


def _predictions(path, image, colorizers):
    """{name: Prediction} of each colorizer; raises PhotoError, naming the photo and the weights."""
    try:
        return {name: predict(colorizer, image) for name, colorizer in colorizers.items()}
    except NotFinite as error:
        raise images.PhotoError(f"{path!r}: {error}") from None


def predict(colorizer, image):
    """Prediction for a Pillow image of mode RGB."""
    output = colorizer.output(image)
    # In the layout in which `colorizer.ab` has it: sums depend on it, and pictures on those.
    ab = colorizer.ab_of(output)
    # One layout here and on arrival in a worker, for the same reason.
    logits = np.ascontiguousarray(output) if colorizer.has_distribution else None
    return Prediction(ab, logits, colorizer.true_ab(image), colorizer.stride)


def _measure_photo(protocol, job):
    """({name: Row}, what a classifier is to see of each picture or None, names of notes).

    A classifier sees (n, S, S, 3) uint8.
    """
    path, donor, predictions = job
    photo, _, transparent = protocol.cut.read(path)
    seen = {"gray_photos": is_gray(rgb_to_lab(photo)[..., 1:]), "with_transparency": transparent}
    notes = [name for name, holds in seen.items() if holds]
    pictures = {name: add_colour(photo, p.ab, p.stride) for name, p in predictions.items()}
    pictures |= baselines.pictures(photo, donor and protocol.cut.read(donor)[0])
    rows = {}
    for name, picture in pictures.items():
        rows[name] = Row(protocol)
        rows[name].update(photo, picture, predictions.get(name))
    if not protocol.side:
        return rows, None, notes
    views = [acc.square(Image.fromarray(p), protocol.side) for p in pictures.values()]
    return rows, np.stack(views), notes
