"""Measure pictures beside the photos that they were made of: all figures, and the baselines'."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cic.colour import prior, rebalance
from cic.colour.lab import rgb_to_lab
from cic.photos import kinds
from cic.system import files
from cic.system.arrays import Array
from cic.system.errors import InputError
from cic.system.parallel import Pool
from cic.system.progress import Callback, tell, told
from cic.system.typing import Json
from metric import baselines, curve, heaviest, pairs, protocol, record
from metric.figures import auc, suite
from metric.ledger import Ledger, name_from, pack
from metric.summary import Summary, summarize

RESULT = "colorized"
NOTES = {  # what is said of some photos
    "gray_photos": "are gray, with no colour to find",
    "with_transparency": "have transparency, which is ignored",
}
METRICS: dict[str, Callable[..., Any]] = {
    "auc": auc.AuC,
    "figures": suite.Suite,
}  # by the figures' name in the JSON file
ENDINGS = (".json", ".txt", ".png", "_weight.png", ".npz")  # of the files


def measure(
    pair_list: Sequence[pairs.Pair],
    metric: Callable[..., Any],
    options: Sequence[Any] = (),
    cut: pairs.Cut = pairs.WHOLE,
    seed: int = 0,
    workers: int = 0,
    progress: Callback | None = None,
) -> tuple[dict[str, Ledger], dict[str, list[str]]]:
    """Return ({row: Ledger}, {note: paths}, see NOTES) of all pairs.

    `metric(*options)` is made for every picture of every row: the results', the baselines'. The
    totals do not depend on the number of workers; photos' names are their paths. Steps are told to
    `progress`, by default a bar. Raises images.PhotoError, naming the file.
    """
    totals: dict[str, Ledger] = {}
    notes: dict[str, list[str]] = {name: [] for name in NOTES}
    jobs = [
        (pair, None if donor is None else pair_list[donor].photo)
        for pair, donor in zip(pair_list, baselines.donors(len(pair_list), seed))
    ]
    with (
        Pool(workers, measure_pair, metric, options, cut) as pool,
        told(progress, total=len(jobs)) as bar,
    ):
        results = bar.each(pool.map(jobs))
        for (rows, is_gray, has_alpha), pair in zip(results, pair_list):
            for name, measured in rows.items():
                totals.setdefault(name, Ledger(metric(*options))).add(pair.photo, measured)
            notes["gray_photos"] += [pair.photo] * is_gray
            notes["with_transparency"] += [pair.result] * has_alpha
    return totals, notes


def measure_pair(
    metric: Callable[..., Any],
    options: Sequence[Any],
    cut: pairs.Cut,
    job: tuple[pairs.Pair, str | None],
) -> tuple[dict[str, Any], bool, bool]:
    """Return ({row: metric}, whether it is gray, whether it has transparency) of (Pair, donor's
    path).
    """
    pair, donor = job
    photo, result, has_alpha = cut.read_pair(pair)
    other = None if donor is None else cut.read(donor)[0]
    pictures = {RESULT: result} | baselines.pictures(photo, other)
    rows = {}
    for name, picture in pictures.items():
        rows[name] = metric(*options)
        rows[name].update(photo, picture)
    return rows, rebalance.is_gray(rgb_to_lab(photo)[..., 1:]), has_alpha


def refuse_outputs(paths: Iterable[str], folders: Iterable[str]) -> None:
    """Raise ValueError or OSError, before any work, if a file to write is no good."""
    refusal = "would be among the pictures: choose another folder"
    files.check_outside(paths, folders, refusal)


def read_prior(path: str) -> Array:
    """Return the shares (313,) of a prior that AuC can divide by; raise ValueError, naming the
    file.
    """
    shares = prior.read(path)
    try:
        rebalance.weights(shares, gamma=0)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return shares


@dataclass(frozen=True)
class Folders:
    """What to measure: pictures of `results_dir` beside the photos of `imgs_dir`, both `cut` alike.

    `prior` is a .npy file that rebalances AuC, None for the bundled one; `strict` counts an error
    within a threshold as Paddle-CIC does (see `auc.AuC`); `seed` is that of the random baseline.
    """

    imgs_dir: str
    results_dir: str
    prior: str | None = None
    cut: pairs.Cut = pairs.WHOLE
    seed: int = 0
    strict: bool = False
    num_workers: int = 0


class Measured(NamedTuple):
    """The contents of the files of ENDINGS, in that order, the Summary, and {note: paths}, see
    NOTES.
    """

    contents: tuple[str | bytes, ...]
    summary: Summary
    notes: dict[str, list[str]]


def measure_folders(
    folders: Folders, key: str = "figures", progress: Callback | None = None
) -> Measured:
    """Measure Folders with METRICS[key], and write nothing: Measured.

    Steps are told to `progress`, see `cic.system.progress`; by default a bar is shown. Raises
    ValueError, naming files, unless every photo has its result, images.PhotoError for a file that
    cannot be measured.
    """
    shares = read_prior(folders.prior) if folders.prior else prior.default()
    left_out = kinds.LeftOut()
    found = pairs.find(folders.imgs_dir, folders.results_dir, left_out)
    for line in left_out.lines():
        tell(line, progress)
    options, cut = (shares, folders.strict), folders.cut
    ledgers, notes = measure(
        found, METRICS[key], options, cut, folders.seed, folders.num_workers, progress
    )
    name_from(ledgers, folders.imgs_dir)
    card = protocol.card(len(found), folders.cut, folders.seed, folders.strict, folders.prior)
    card |= {name: len(noted) for name, noted in notes.items()}
    return Measured(*rendered(key, ledgers, card), notes)


def rendered(
    key: str, ledgers: Mapping[str, Ledger], card: Mapping[str, Json]
) -> tuple[tuple[str | bytes, ...], Summary]:
    """Return (what the files of ENDINGS hold, Summary) of {row: Ledger}.

    The JSON has the figures by the name `key` and the protocol card.
    """
    found = summarize(ledgers)
    curves = {name: ledger.total.curve() for name, ledger in ledgers.items()}
    facts = {"photos": found.photos, key: found.figures, **found.facts()}
    contents = (
        record.dumps(facts | {"curves": curves, "protocol": card}),
        found.text(),
        curve.png(curves),
        heaviest.png(next(iter(ledgers.values()))),
        pack(ledgers, protocol.conditions(card)),
    )
    return contents, found


def note_lines(notes: Mapping[str, Sequence[str]], count: int) -> Iterator[str]:
    """Yield a line on each of {note: paths}, of `count` photos, that has any."""
    for name, paths in notes.items():
        if paths:
            yield f"note: {len(paths)} of {count} {NOTES[name]}: {pairs.first_few(paths)}"
    if count == 1:
        yield "note: there is no other photo whose colours could be taken: no random ab"
