"""Measure in shares: write the sums of each, and join all of them."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cic.system.errors import InputError
from cic.system.shares import Share
from cic.system.typing import Json
from metric import heaviest, ledger, measuring, protocol, record, summary
from metric.evaluation import Row
from metric.heaviest import Heaviest
from metric.ledger import Ledger

_ALIKE = ("rows", "random_ab_seed")  # of shares, beside what figures that compare have alike


class Joined(NamedTuple):
    """{file name: content}, the tables as text, the heaviest photos, and whether no photo was left
    out.
    """

    contents: dict[str, str | bytes]
    text: str
    heaviest: dict[str, Heaviest]
    complete: bool


def check_outputs(folder: str) -> None:
    """Raise ValueError or OSError, before any work, for a file that `folder` cannot take."""
    names = [f"evaluation{ending}" for ending in measuring.ENDINGS if ending != ".png"]
    measuring.refuse_outputs([os.path.join(folder, name) for name in names], [])


def all_photos(names: Sequence[str], size: Callable[[str], int]) -> dict[str, Json]:
    """Return the identity of a list of photos: their number, and a hash of their names and
    sizes.
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(name) + b"\0%d\0" % size(name))
    return {"count": len(names), "sha256": digest.hexdigest()}


def of_share(
    share: Share,
    rows: Mapping[str, Ledger],
    card: Mapping[str, Json],
    photos: Mapping[str, Json],
) -> tuple[dict[str, str | bytes], str]:
    """Return ({file name: content}, a line) of what a share measured, for `merge`; `card` says how.

    `photos` are those of all shares, see `all_photos`.
    """
    file = share.own("evaluation.npz")
    line = f"{card['count']:,} photos of share {share} measured: {file}\n"
    return {file: ledger.pack(rows, {"share": share, "card": card, "photos": photos})}, line


def merge(paths: Sequence[str]) -> Joined:
    """Return the Joined of all shares' files: what one run over all their photos gives, to the last
    bit.

    But for what is drawn of single pixels or cells: curves and reliability. Raises ValueError,
    naming the files, unless these are all the shares of one run.
    """
    parts = [ledger.unpack(path, Row) for path in paths]
    all_of_them = ", ".join(paths)
    try:
        found = [Share(*held["share"]) for _, held in parts]
        cards = [held["card"] for _, held in parts]
        photos = [held["photos"] for _, held in parts]
        terms = [protocol.conditions(card) | {n: card[n] for n in _ALIKE} for card in cards]
    except (KeyError, TypeError):
        raise InputError(
            f"{all_of_them}: not all of them are of shares: give those alone"
        ) from None
    if sorted(found) != [Share(number, len(found)) for number in range(found[0].of)]:
        there = ", ".join(map(str, sorted(found)))
        raise InputError(f"{all_of_them}: shares {there}: give each of one run's once")
    if any(one != photos[0] for one in photos):
        counts = ", ".join(f"{one['count']:,}" for one in photos)
        raise InputError(
            f"{all_of_them}: shares of different lists of photos ({counts} photos): "
            "measure all shares of one folder, with the same max_samples"
        )
    if other := [name for name in sorted(set().union(*terms)) if _differs(name, terms)]:
        raise InputError(
            f"{all_of_them}: measured differently: {', '.join(other)}: measure all shares alike"
        )
    rows = ledger.joined([part for part, _ in parts])
    card = _joined(cards)
    summed = summary.summarize(rows)
    facts = {"photos": card["count"], "figures": summed.figures, **summed.facts()}
    files: dict[str, str | bytes] = {
        "evaluation.json": record.dumps(facts | {"protocol": card}),
        "evaluation.txt": summed.text(),
        "evaluation_weight.png": heaviest.png(next(iter(rows.values()))),
        "evaluation.npz": ledger.pack(rows, protocol.conditions(card)),
    }
    return Joined(files, summed.text(), summed.heaviest, not card["skipped"])


def _differs(name: str, terms: Sequence[Mapping[str, Json]]) -> bool:
    return any(one.get(name) != terms[0].get(name) for one in terms)


def _joined(cards: Sequence[dict[str, Json]]) -> dict[str, Json]:
    """Return the card of all shares: counts are summed."""
    counts = {name: sum(card[name] for card in cards) for name in ("count", *measuring.NOTES)}
    skipped = sorted(problem for card in cards for problem in card["skipped"])
    return cards[0] | counts | {"skipped": skipped}
