"""Keep the sums of each photo: intervals, the heaviest photo and comparisons need them."""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cic.system.arrays import Array, Doubles
from cic.system.errors import InputError
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath
from metric.figures import bootstrap
from metric.figures.sums import Values, plain
from metric.figures.temperature import place_of


class Ledger:
    """A metric of many photos that keeps the sums of each by the photo's name; mergeable.

    `total` is the metric of all. Sums are exactly rounded, so that the order of photos or shards
    changes no bit of the figures.
    """

    def __init__(self, total: Any) -> None:
        self.total = total
        self.photos: dict[str, Values] = {}

    def add(self, photo: str, metric: Any) -> None:
        """Add a photo by its name and a metric that has seen it alone; raises ValueError twice."""
        if photo in self.photos:
            raise ValueError(f"{photo!r}: this photo was measured already")
        self.photos[photo] = dict(metric.sums)
        self.total.merge(metric)

    def merge(self, other: "Ledger") -> None:
        """Add what `other` has seen; raises ValueError for a photo that both have."""
        both = self.photos.keys() & other.photos.keys()
        if both:
            raise ValueError(f"{min(both)!r}: this photo was measured already")
        self.photos |= other.photos
        self.total.merge(other.total)

    def names(self) -> list[str]:
        """Return the photos' names, sorted."""
        return sorted(self.photos)

    def columns(self) -> list[str]:
        """Return the names of the sums."""
        return list(next(iter(self.photos.values())))

    def table(self) -> Doubles:
        """Return the sums (photos, columns) float64, photos in the order of their names."""
        columns = self.columns()
        rows = [[self.photos[name][column] for column in columns] for name in self.names()]
        return np.array(rows, np.float64)

    def sums(self) -> Values:
        """Return {column: number} of all photos."""
        return {name: math.fsum(column) for name, column in zip(self.columns(), self.table().T)}

    def compute(self) -> Values:
        """Return {figure: number}, percent, CIELAB units and so on, as `total` has them."""
        return plain(self.total.of(self.sums()))


def name_from(ledgers: Mapping[str, Ledger], folder: StrPath) -> None:
    """Name the photos of {row: Ledger}, paths until now, by their paths from `folder` on."""
    for ledger in ledgers.values():
        ledger.photos = {os.path.relpath(n, folder): sums for n, sums in ledger.photos.items()}


def resampled(ledgers: Mapping[str, Ledger]) -> dict[str, Values]:
    """Return {row: {column: (replicates,)}} of {row: Ledger} of the same photos: see
    `bootstrap`.
    """
    drawn = bootstrap.totals({row: ledger.table() for row, ledger in ledgers.items()})
    return {row: dict(zip(ledgers[row].columns(), sums)) for row, sums in drawn.items()}


def pack(ledgers: Mapping[str, Ledger], conditions: Json) -> bytes:
    """Return the bytes of an .npz file of {row: Ledger} of the same photos, for `unpack`.

    It holds "sums" (rows, photos, columns) float64, NaN where a row has no such column, the names
    of all three, and "conditions", a JSON object that two runs must agree on to be compared.
    """
    columns = list(dict.fromkeys(name for one in ledgers.values() for name in one.columns()))
    columns = [name for name in columns if not place_of(name)]  # without those by temperature
    photos = next(iter(ledgers.values())).names()
    sums = [
        [[ledger.photos[photo].get(name, math.nan) for name in columns] for photo in photos]
        for ledger in ledgers.values()
    ]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sums=np.array(sums, np.float64),
        rows=np.array(list(ledgers)),
        photos=np.array(photos),
        columns=np.array(columns),
        conditions=np.array(json.dumps(conditions)),
    )
    return file.getvalue()


def unpack(path: StrPath, kind: type) -> tuple[dict[str, Ledger], Json]:
    """Return ({row: Ledger}, conditions) of a file that `pack` made; ledgers' totals are `kind`,
    unused.

    Raises ValueError, naming the file, for any other.
    """
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as held:
            sums, conditions = held["sums"], json.loads(str(held["conditions"]))
            rows, photos, columns = (held[name].tolist() for name in ("rows", "photos", "columns"))
        if sums.shape != (len(rows), len(photos), len(columns)) or not sums.size:
            raise ValueError("sums of another shape")
        ledgers = {row: _opened(kind, photos, columns, part) for row, part in zip(rows, sums)}
    except (ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile):
        raise InputError(
            f"{path}: not the sums of a measured run: give the .npz beside its JSON file"
        ) from None
    return ledgers, conditions


def joined(parts: Sequence[Mapping[str, Ledger]]) -> dict[str, Ledger]:
    """Return {row: Ledger} of several with the same rows, as `unpack` gives them, of different
    photos.

    Raises ValueError for other rows, or a photo that two have.
    """
    found: dict[str, Ledger] = {}
    for part in parts:
        if found and found.keys() != part.keys():
            raise InputError(f"rows {', '.join(found)} in one, {', '.join(part)} in another")
        for row, ledger in part.items():
            mine = found.setdefault(row, Ledger(ledger.total))
            if both := mine.photos.keys() & ledger.photos.keys():
                raise InputError(f"{min(both)!r}: this photo is in two of them")
            mine.photos |= ledger.photos
    return found


def _opened(kind: type, photos: Sequence[str], columns: Sequence[str], table: Array) -> Ledger:
    ledger, there = Ledger(kind), ~np.isnan(table).all(0)
    names = [name for name, is_there in zip(columns, there) if is_there]  # type: ignore[arg-type]
    ledger.photos = {
        photo: dict(zip(names, row.tolist())) for photo, row in zip(photos, table[:, there])
    }
    return ledger
