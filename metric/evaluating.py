"""Measure colorizers on a folder of photos: figures, pictures and a protocol card, as files."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from cic.colorize.colorizer import Colorizer
from cic.colour import prior
from cic.networks import Network
from cic.photos.sheet import contact_sheet
from cic.system.arrays import Array, Bytes, Floats
from cic.system.errors import InputError, SettingError
from cic.system.progress import Callback, tell
from cic.system.settings import check_whole
from cic.system.shares import WHOLE, Share
from cic.system.text import printable
from cic.system.typing import Json
from cic.weights import download
from metric import (
    baselines,
    classification,
    classifiers,
    curve,
    evaluation,
    gallery,
    heaviest,
    joining,
    ledger,
    lending,
    measuring,
    pairs,
    protocol,
    record,
    summary,
    table,
)
from metric.evaluation import Classifier, Row
from metric.figures import calibration, temperature
from metric.heaviest import Heaviest
from metric.ledger import Ledger
from metric.lending import Readable
from metric.photo_set import PhotoSet
from metric.runner import Runner
from metric.summary import Summary

COLUMN = 320  # pixels of a picture on the sheets
TAKEN = (baselines.GRAY, baselines.RANDOM, baselines.TRUTH, classification.CHANCE)


@dataclass(frozen=True)
class Study:
    """Which photos are measured, and how: those of `image_dir`, folder or address, `cut` alike.

    `most` limits how many are taken. `prior` is a .npy file that rebalances AuC, None for the
    bundled one; `strict` counts an error within a threshold as Paddle-CIC does; `seed` is that of
    the random baseline; `temperatures` are compared. `gallery` is the number of best and of worst
    photos of the first colorizer to show, `comparison` that of photos to show by all; both show
    `alternatives` of each and, with `uncertainty`, a map. `num_workers` processes read and measure,
    0 is this one alone. One of several `share`s writes only its sums, for `joining.merge`:
    temperatures and pictures need all photos.
    """

    image_dir: str
    most: int | None = None
    cut: pairs.Cut = pairs.WHOLE
    prior: str | None = None
    seed: int = 0
    strict: bool = False
    temperatures: Sequence[float] = ()
    gallery: int = 0
    comparison: int = 0
    alternatives: int = 1
    uncertainty: bool = False
    num_workers: int = 0
    share: Share = WHOLE

    def __post_init__(self) -> None:
        check_whole(self, most=1, seed=0, gallery=0, comparison=0, alternatives=1, num_workers=0)
        if (self.alternatives > 1 or self.uncertainty) and not (self.gallery or self.comparison):
            raise SettingError("alternatives, uncertainty: they show in a gallery or a comparison")
        whole = [name for name in ("temperatures", "gallery", "comparison") if getattr(self, name)]
        if whole and not self.share.is_whole:
            raise SettingError(f"{', '.join(whole)} of a share: these need all photos: in one run")

    @cached_property
    def photos(self) -> PhotoSet:
        """Look for the photos, once; say what kinds are left out."""
        return PhotoSet(self.image_dir, self.most)

    @property
    def names(self) -> list[str]:
        """Return the names of the photos, from the folder on."""
        return self.photos.names

    def check_outputs(self, folder: str) -> None:
        """Raise ValueError or OSError, before any work, for a file that `folder` cannot take."""
        names = [f"evaluation{ending}" for ending in measuring.ENDINGS] + ["reliability.png"]
        names += ["gallery.html", "gallery.png"] if self.gallery else []
        names += ["comparison.png"] if self.comparison else []
        measuring.refuse_outputs([os.path.join(folder, name) for name in names], [self.image_dir])

    def path(self, name: str) -> str:
        """Return the path of a photo of that name."""
        return self.photos.path(name)


class Recognisers(NamedTuple):
    """{name: evaluation.Classifier} that look at pictures, and {name: facts} of the protocol."""

    classifiers: Mapping[str, Classifier] = MappingProxyType({})
    facts: Mapping[str, Any] = MappingProxyType({})


NOBODY = Recognisers()


def check_rows(names: Iterable[str]) -> None:
    """Raise SettingError for a name of a row that a table cannot show, or that a baseline has."""
    for name in names:
        if name in TAKEN:
            raise SettingError(f"two rows are called {name}: choose other names")
        if not name.isprintable():
            raise SettingError(f"{name!r}: a name is one line of text")


class Evaluated(NamedTuple):
    """The result: {file name: content}, the tables as text, the heaviest photos, lines on some
    photos.

    `complete` says that no photo was left out, of the figures or of the gallery.
    """

    contents: dict[str, str | bytes]
    text: str
    heaviest: dict[str, Heaviest]
    lines: list[str]
    complete: bool


def recognisers(
    study: Study,
    files: Iterable[str],
    classes: Sequence[str] | None,
    backend: Runner,
    device: str = "auto",
) -> Recognisers:
    """Return the Recognisers of the photos of a Study, of some weights' `files`, on a backend.

    `classes` are the class folders' names in the order of the outputs, or None. Raises ValueError,
    naming a file that is of no classifier or does not fit the folders.
    """
    found: dict[str, Classifier] = {}
    facts: dict[str, Json] = {}
    photos = [(name, name.partition(os.sep)[0]) for name in study.names]
    for weights in files:
        network, state, outputs = classifiers.load(weights)
        if (name := classifiers.title(network)) in found:
            raise InputError(f"two classifiers are called {name}: measure them apart")
        labelled = classifiers.labelled(study.image_dir, photos, outputs, classes)
        labels = {study.path(name): label for name, label in labelled}
        run = partial(_recognise, network, backend.predictor(network, state, device))
        found[name] = evaluation.Classifier(run, network.side, labels)
        facts[name] = classifiers.facts(network, weights, backend.NAME)
    return Recognisers(found, facts)


def _recognise(network: Network, forward: Callable[[Floats], Array], views: Bytes) -> Array:
    return forward(classifiers.inputs(network, views))


def _class_lines(study: Study, names: Sequence[str], recognisers: Recognisers) -> Iterator[str]:
    """Yield a line on the photos `names` that are of no class."""
    for one in recognisers.classifiers.values():
        others = [name for name in names if one.labels[study.path(name)] is None]
        if others:
            yield classifiers.outside(others, len(names))
            return


def _read_all(study: Study, progress: Callback | None) -> Readable:
    """Return the Readable photos of a Study's share; raise ValueError if there is none."""
    paths = list(map(study.path, study.names))
    own = study.share.of_list(study.names, study.photos.size)
    look_at = partial(
        evaluation.problems, cut=study.cut, workers=study.num_workers, progress=progress
    )
    found = lending.readable(paths, own, study.seed, look_at)
    for problem in found.problems:
        tell(f"skipped: {problem}", progress, sys.stderr)
    if not found.numbers:
        whose = "" if study.share.is_whole else f" of share {study.share}"
        raise InputError(f"{study.image_dir}: no photo{whose} in there that can be read")
    return found


def _card(
    study: Study,
    count: int,
    colorizers: Mapping[str, Colorizer],
    frameworks: Sequence[str],
    device: str,
) -> dict[str, Json]:
    """Return the protocol card, a JSON object."""
    card = protocol.card(count, study.cut, study.seed, study.strict, study.prior, *frameworks)
    rows = {
        name: {
            "weights": os.path.basename(one.weights),
            "sha256": download.sha256(one.weights),
            **one.settings.facts(),
        }
        for name, one in colorizers.items()
    }
    del card["weights"], card["temperature"]
    return card | {"rows": rows, "device": device}


def _by_temperature(rows: Mapping[str, Row], intervals: Mapping[str, Any]) -> str:
    """Return the text of figures by temperature, and the best for each aim, of {name:
    evaluation.Row}.
    """
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


def _draw_figures(
    ledgers: Mapping[str, Ledger], colorizers: Mapping[str, Colorizer], card: Mapping[str, Json]
) -> tuple[Summary, str, dict[str, str | bytes]]:
    """Return (Summary, text, {file: content}) of {name: Ledger}: files are figures, curves and
    text.
    """
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
        text += "\n" + _by_temperature(own, spans)
    facts["reliability"] = {name: row.calibration.curve() for name, row in own.items()}
    files: dict[str, str | bytes] = {
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


def still_there(
    paths: Sequence[str],
    before: Sequence[tuple[int, ...] | None],
    now: Sequence[tuple[int, ...] | None],
    progress: Callback | None = None,
) -> list[int]:
    """Return the indices of the paths whose files are `now` what they were `before`, see
    contents.state.

    The others are named: their figures and what a gallery would show are of two photos. The lines
    are told to `progress`, by default printed.
    """
    kept = [i for i in range(len(paths)) if before[i] == now[i] is not None]
    for i in sorted(set(range(len(paths))).difference(kept)):
        name = printable(paths[i])
        tell(f"not shown: {name}: it changed while it was measured: measure again", progress)
    return kept


def _draw_gallery(
    study: Study,
    names: Sequence[str],
    show: Callable[[str], gallery.Pictures],
    errors: Sequence[float],
    cells: Sequence[Sequence[str]],
    drawings: Mapping[str, bytes],
    card: Mapping[str, Json],
) -> dict[str, str | bytes]:
    """Return {file: content} of the gallery: the best and the worst photos by their `errors`."""
    groups = {
        heading: [
            gallery.Exhibit(printable(names[i]), f"RMSE of ab {errors[i]:.1f}", show(names[i]))
            for i in numbers
        ]
        for heading, numbers in zip(("Best", "Worst"), gallery.extremes(errors, study.gallery))
        if numbers
    }
    return {
        "gallery.html": gallery.page("Colorized photos", cells, drawings, groups, card),
        "gallery.png": record.png(gallery.sheet(groups, COLUMN)),
    }


def _draw_comparison(
    study: Study, names: Sequence[str], show: Callable[[str], gallery.Pictures]
) -> dict[str, str | bytes]:
    """Return {file: content} of photos evenly spread over the set, as every colorizer shows
    them.
    """
    chosen = np.linspace(0, len(names) - 1, min(study.comparison, len(names))).astype(int)
    rows = [show(names[i]) for i in chosen]
    captions = [caption for caption, _ in rows[0]]
    sheet = contact_sheet([[picture for _, picture in row] for row in rows], captions, COLUMN)
    return {"comparison.png": record.png(sheet)}


def evaluate(
    study: Study,
    colorizers: Mapping[str, Colorizer],
    recognisers: Recognisers = NOBODY,
    frameworks: Sequence[str] = (),
    device: str = "auto",
    progress: Callback | None = None,
) -> Evaluated:
    """Measure {row: colorizer} and the baselines as a Study says, and write nothing: Evaluated.

    `frameworks` are names of imported modules whose versions go into the protocol card, beside the
    name of the `device`. Steps and lines are told to `progress`, see `cic.system.progress`; by
    default a bar is shown. Raises SettingError as `check_rows` does, InputError if no photo can be
    read, images.PhotoError for one that cannot be measured.
    """
    check_rows(colorizers)
    shares = measuring.read_prior(study.prior) if study.prior else prior.default()
    numbers, lenders, problems = _read_all(study, progress)
    names = [study.names[i] for i in numbers]
    paths = list(map(study.path, names))
    sides = tuple({one.side for one in recognisers.classifiers.values()})
    grid = tuple(study.temperatures)
    how = evaluation.Protocol(shares, study.strict, study.cut, grid, sides, study.seed)
    before = study.photos.states(names)
    rows, notes = evaluation.measure(
        paths, colorizers, how, study.num_workers, recognisers.classifiers, progress, lenders
    )
    ledger.name_from(rows, study.image_dir)
    card = _card(study, len(names), colorizers, frameworks, device)
    card |= {"classifiers": dict(recognisers.facts), "skipped": problems}
    card |= {name: len(noted) for name, noted in notes.items()}
    if not study.share.is_whole:
        photos = joining.all_photos(study.names, study.photos.size)
        return Evaluated(*joining.of_share(study.share, rows, card, photos), {}, [], not problems)
    found, text, written = _draw_figures(rows, colorizers, card)
    kept = still_there(paths, before, study.photos.states(names), progress)
    if kept:
        first = rows[next(iter(colorizers))].total.errors
        mine, errors = [names[i] for i in kept], [first[i] for i in kept]
        written |= _draw_pictures(study, colorizers, mine, errors, found, written, card)
    lines = [*measuring.note_lines(notes, len(names)), *_class_lines(study, names, recognisers)]
    complete = not problems and len(kept) == len(names)
    return Evaluated(written, text, found.heaviest, lines, complete)


def _draw_pictures(
    study: Study,
    colorizers: Mapping[str, Colorizer],
    names: Sequence[str],
    errors: Sequence[float],
    found: Summary,
    written: Mapping[str, str | bytes],
    card: Mapping[str, Json],
) -> dict[str, str | bytes]:
    """Return {file: content} of the gallery and the comparison that a Study asks for."""

    def show(name: str) -> gallery.Pictures:
        photo = study.cut.read(study.path(name))[0]
        return gallery.show(photo, colorizers, study.alternatives, study.uncertainty)

    drawn: dict[str, str | bytes] = {}
    if study.gallery:
        drawings = {name: data for name, data in written.items() if name.endswith(".png")}
        drawn |= _draw_gallery(study, names, show, errors, found.cells(), drawings, card)  # type: ignore[arg-type]
    if study.comparison:
        drawn |= _draw_comparison(study, names, show)
    return drawn
