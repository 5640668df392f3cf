"""Show who holds the weight of a weighted figure: the share of each photo, and a picture of
them.
"""

import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from cic.system.arrays import Doubles
from metric import charts
from metric.figures.auc import NAMES
from metric.ledger import Ledger

Heaviest: TypeAlias = dict[str, Any]  # {"photo": its name, "share": 0 to 1}
LIMIT = 0.1  # share of one photo above which a figure says little of the others


def weight_shares(ledger: Ledger) -> dict[str, Doubles]:
    """Return {"raw": (photos,), ...}: each photo's share of all weight, in the order of their
    names.

    Of a ledger.Ledger with the sums of AuC; empty of another.
    """
    weights = dict(zip(ledger.columns(), ledger.table().T))
    known = {name: weights.get(f"{name}_weight") for name in NAMES}
    return {name: each / each.sum() for name, each in known.items() if each is not None}


def heaviest(ledger: Ledger) -> dict[str, Heaviest]:
    """Return {"raw": {"photo": its name, "share": 0 to 1}, ...} of the photo with the largest
    share.
    """
    names = ledger.names()
    return {
        name: {"photo": names[each.argmax()], "share": float(each.max())}
        for name, each in weight_shares(ledger).items()
    }


def listed(found: Mapping[str, Heaviest]) -> str:
    """Return the same as words: "raw 0.9 % ('a.jpg'), ..."."""
    return ", ".join(
        f"{name} {one['share']:.1%} ({one['photo']!r})".replace("%", " %")
        for name, one in found.items()
    )


def warn_of(found: Mapping[str, Heaviest]) -> None:
    """Print a line to stderr if a photo holds more than LIMIT of what `heaviest` found."""
    above = {name: one for name, one in found.items() if one["share"] > LIMIT}
    if above:
        shown = listed(above)
        limit = f"{LIMIT:.0%}".replace("%", " %")
        print(f"warning: one photo holds over {limit} of the weight: {shown}", file=sys.stderr)


def png(ledger: Ledger) -> bytes:
    """Return the bytes of a PNG: the share of the weight that the heaviest 1, 2, 3 ... photos hold.

    Raises ValueError of a ledger without the sums of AuC.
    """
    from matplotlib.ticker import LogLocator  # as in `charts`

    held = weight_shares(ledger)
    if not held:
        raise ValueError("no figure is weighted")
    figure = charts.figure(8, 5)
    axes = figure.subplots()
    for name, each in held.items():
        together = 100 * np.cumsum(np.sort(each)[::-1])
        count = np.arange(1, len(each) + 1)
        label = f"{name}: the heaviest photo has {together[0]:.1f} %"
        axes.plot(count, together, "o-", markersize=3, markevery=[0], label=label)
    limit = f"{LIMIT:.0%} of the weight, above which it warns".replace("%", " %")
    axes.axhline(100 * LIMIT, linestyle="--", linewidth=1, color="gray", label=limit)
    axes.set(xscale="log", xlim=(0.9, 1.1 * len(each)), ylim=(0, 102))
    axes.set(title="Who holds the weight of AuC", ylabel="share of all weight, %")
    axes.set_xlabel(f"photos, the heaviest first, of {len(each)}")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return charts.png(figure)
