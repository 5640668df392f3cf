"""Compare two measured runs: differences of their figures, with paired intervals."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from cic.system.errors import InputError
from cic.system.typing import Json
from metric import table
from metric.baselines import GRAY, RANDOM, TRUTH
from metric.evaluation import Row
from metric.ledger import Ledger, unpack
from metric.pairs import first_few
from metric.summary import apart, differences, summarize

BASELINES = (GRAY, RANDOM, TRUTH)
NOT_OURS = ("colourfulness_truth", "warm_truth", "identical")  # figures of the photos, and a count
# Sums that a photo has whatever its colouring, and what machines may round them differently.
WEIGHTS = ("raw_weight", "rebalanced_weight", "balanced_weight", "vivid_photos", "warm_photos")
ROUNDING = 1e-9


def check(
    paths: Sequence[str], runs: Sequence[tuple[Mapping[str, Ledger], Mapping[str, Json]]]
) -> None:
    """Raise ValueError unless two runs are of the same photos, measured alike.

    `runs` are what `unpack` gives of the two `paths`.
    """
    both = " and ".join(paths)
    (ours, our_terms), (theirs, their_terms) = runs
    one, other = (next(iter(ledgers.values())) for ledgers in (ours, theirs))
    for path, mine, others in zip(paths, (one, other), (other, one)):
        if extra := sorted(mine.photos.keys() - others.photos.keys()):
            raise InputError(
                f"{both}: not the same photos: {len(extra)} only in {path}: {first_few(extra)}"
            )
    for name in our_terms.keys() & their_terms.keys():
        if our_terms[name] != their_terms[name]:
            terms = f"{our_terms[name]} and {their_terms[name]}"
            raise InputError(f"{both}: measured differently: {name} is {terms}")
    columns = set(WEIGHTS) & set(one.columns()) & set(other.columns())
    for photo, column in product(one.names(), columns):
        a, b = (each.photos[photo][column] for each in (one, other))
        if abs(a - b) > ROUNDING * max(abs(a), abs(b)):
            raise InputError(f"{both}: {photo!r} is another picture in each")


def row_pairs(
    runs: Sequence[Mapping[str, Ledger]],
) -> tuple[dict[str, Ledger], list[tuple[str, str]]]:
    """Return ({label: ledger}, [(label, label)]) of the rows to compare of one run or two, {row:
    ledger}.

    Raises ValueError if there is no pair.
    """
    labels = [
        {f"{row} of {letter}" if len(runs) > 1 else row: row for row in run if row not in BASELINES}
        for letter, run in zip("AB", runs)
    ]
    pairs = list(product(*labels) if len(runs) > 1 else combinations(*labels, 2))  # type: ignore[call-overload]
    if not pairs:
        raise InputError("there are no two rows to compare: name a second run")
    chosen = zip(labels, runs)
    return {name: run[row] for each, run in chosen for name, row in each.items()}, pairs


def compared(runs: Sequence[Mapping[str, Ledger]]) -> list[dict[str, Any]]:
    """Return [{"first", "second", "figures", "intervals", "differences"}, ...] of each pair of
    rows.

    `runs` are one or two of {row: ledger}, of the same photos. `differences` are
    {figure: [first less second, low, high]}.
    """
    ledgers, pairs = row_pairs(runs)
    found = summarize(ledgers)
    replicates = {name: Row.of(sums) for name, sums in found.drawn.items()}
    result = []
    for first, second in pairs:
        names = [name for name in found.figures[first] if name not in NOT_OURS]
        result.append(
            {
                "first": first,
                "second": second,
                "figures": {row: found.figures[row] for row in (first, second)},
                "intervals": {row: found.intervals[row] for row in (first, second)},
                "differences": differences(first, second, found.figures, replicates, names),
            }
        )
    return result


def text_of(pair: Mapping[str, Any]) -> str:
    """Return one of `compared` as lines of text: the figures of both, and their differences."""
    title = f"{pair['first']} less {pair['second']}"
    numbers, spans = apart({title: pair["differences"]})
    rows = {row: {n: each[n] for n in numbers[title]} for row, each in pair["figures"].items()}
    cells = table.cells(rows, pair["intervals"]) + table.cells(numbers, spans, signed=True)[1:]
    return table.lines([list(column) for column in zip(*cells)])


def compare(path: str, other: str | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Return (number of photos, what `compared` gives) of the .npz file of a run, or of two runs'
    files.

    Raises ValueError, naming the files, unless they are of such runs, of the same photos, measured
    alike.
    """
    paths = [path] if other is None else [path, other]
    runs = [unpack(one, Row) for one in paths]
    if other is not None:
        check(paths, runs)
    ledgers = [run for run, _ in runs]
    return len(next(iter(ledgers[0].values())).photos), compared(ledgers)
