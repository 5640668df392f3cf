"""Find the best decodings: raw against balanced AuC of many, from one run of the network a photo.

Raw AuC favours dull colours, as most pixels are dull; balanced AuC favours rare ones. A decoding is
worth choosing if no other is better in both. Beside them stand its colourfulness and its share of
orange and brown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from cic.colour import prior, rebalance
from cic.colour.decoding import STATISTICS, Decoding
from cic.colour.distributions import TEMPERATURE, soft_encode
from cic.colour.lab import ab_distance, lab_to_rgb, recolor, rgb_to_lab
from cic.system.arrays import Array, Bytes, Floats
from cic.system.typing import Json
from metric import charts
from metric.figures.auc import LAMBDAS, credit
from metric.figures.colourfulness import colourfulness
from metric.figures.warmth import warm

TEMPERATURES = (TEMPERATURE, 0.6, 0.8, 1.0)
UNWEIGHTS = (0.0, 0.15, 0.3)
SATURATIONS = (0.9, 1.0, 1.1, 1.2)
FIGURES = ("raw", "balanced", "colourfulness", "warm")


def decodings(
    bin_weights: tuple[float, ...] | None = None,
    temperatures: Iterable[float] = TEMPERATURES,
    unweights: Iterable[float] = UNWEIGHTS,
    saturations: Iterable[float] = SATURATIONS,
    statistics: Iterable[str] = STATISTICS,
) -> list[Decoding]:
    """Return [Decoding] of all combinations; raise ValueError for one that cannot be."""
    grid = product(temperatures, unweights, statistics, saturations)
    return [
        Decoding(temperature, saturation, unweight, statistic, bin_weights)
        for temperature, unweight, statistic, saturation in grid
    ]


def as_decoded(ab: Floats, light: Floats) -> Floats:
    """Return ab (h, w, 2) as they come: the `refined` of a Frontier that leaves them."""
    return ab


class Frontier:
    """Figures of many Decodings over photos, on the cells that the network sees; mergeable.

    `shares` (313,) is the prior of the balanced AuC, whose weights are 1 / (p / 2 + 1 / 626), by
    default the bundled one. Colours are measured as shown: after a Colorizer's `refined(ab,
    light)`, in 8 bits and within sRGB.
    """

    def __init__(
        self,
        decodings: Iterable[Decoding],
        shares: Array | None = None,
        refined: Callable[[Floats, Floats], Floats] = as_decoded,
    ) -> None:
        self.decodings, self.refined = list(decodings), refined
        shares = prior.default() if shares is None else shares
        self.bin_weights = rebalance.weights(shares, LAMBDAS["balanced"]).astype(np.float64)
        # Raw and balanced area, colourfulness, warm pixels: of all gray, the truth, each decoding.
        self.sums = np.zeros((2 + len(self.decodings), 4))
        self.pixels, self.weight, self.photos = 0, 0.0, 0

    def update(self, logits: Array, light: Floats, true_ab: Array) -> None:
        """Add a photo: logits (313, h, w), L (h, w) and true ab (h, w, 2) of its cells."""
        lab = np.concatenate([light[..., None], true_ab], axis=-1)
        truth = np.rint(255 * lab_to_rgb(lab)).astype(np.uint8)
        true_ab = rgb_to_lab(truth)[..., 1:]
        weights = self.bin_weights[soft_encode(true_ab, neighbors=1)[0][..., 0]]
        made = [
            recolor(truth, np.zeros_like(true_ab)),
            truth,
            *self._pictures(logits, light, truth),
        ]
        for sums, picture in zip(self.sums, made, strict=True):
            ab = np.moveaxis(rgb_to_lab(picture)[..., 1:], -1, 0)
            area = credit(ab_distance(np.moveaxis(ab, 0, -1).astype(np.float64), true_ab))
            sums += area.sum(), (weights * area).sum(), colourfulness(picture), warm(ab).sum()
        self.pixels += weights.size
        self.weight += float(weights.sum())
        self.photos += 1

    def _pictures(self, logits: Array, light: Floats, truth: Bytes) -> Iterator[Bytes]:
        """Yield what each decoding makes of the cells, (h, w, 3) uint8."""
        plain, ab = None, None
        for one in self.decodings:
            if plain != replace(one, saturation=1.0):
                plain = replace(one, saturation=1.0)
                ab = self.refined(plain(logits), light)
            yield recolor(truth, ab * np.float32(one.saturation))  # type: ignore[operator]

    def merge(self, other: "Frontier") -> None:
        """Add what `other` has seen; raises ValueError if it has other decodings."""
        if other.decodings != self.decodings:
            raise ValueError("figures of other decodings do not merge")
        self.sums += other.sums
        self.pixels += other.pixels
        self.weight += other.weight
        self.photos += other.photos

    def compute(self) -> dict[str, Json]:
        """Return {"photos": count, "gray": figures, "truth": figures, "decodings": [figures, ...]}.

        "raw" and "balanced" AuC, percent; "colourfulness" and "warm", the share of warm pixels, in
        ratio to the truth's; of a decoding its settings, and whether it is on the "frontier".
        """
        totals = [self.pixels, self.weight, *self.sums[1, 2:]]
        with np.errstate(divide="ignore", invalid="ignore"):
            figures = self.sums / totals * [100, 100, 1, 1]
        gray, truth, *rows = (dict(zip(FIGURES, row.tolist())) for row in figures)
        for one, row in zip(self.decodings, rows):
            settings = ("temperature", "unweight", "statistic", "saturation")
            row |= {name: getattr(one, name) for name in settings}
            row["frontier"] = not any(_beats(other, row) for other in rows)
        return {"photos": self.photos, "gray": gray, "truth": truth, "decodings": rows}


def _beats(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether figures are no worse in raw and balanced AuC, and better in one of them."""
    pairs = [(one[name], other[name]) for name in ("raw", "balanced")]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def on_frontier(found: Mapping[str, Json]) -> list[dict[str, Any]]:
    """Return those on the frontier of what `Frontier.compute` gave, from the best raw AuC on."""
    return sorted(
        (row for row in found["decodings"] if row["frontier"]), key=lambda row: -row["raw"]
    )


def table(found: Mapping[str, Json]) -> dict[str, dict[str, float]]:
    """Return {name: figures} for `metric.table`: all gray and the frontier."""
    rows = {"all gray": found["gray"]}
    for number, row in enumerate(on_frontier(found), start=1):
        settings = (f"{name} {row[name]:g}" for name in ("temperature", "unweight", "saturation"))
        rows[f"{number}: {', '.join((row['statistic'], *settings))}"] = {
            name: row[name] for name in FIGURES
        }
    return rows


def png(found: Mapping[str, Json]) -> bytes:
    """Return the bytes of a PNG: raw against balanced AuC, the frontier numbered as in `table`."""
    figure = charts.figure(9, 6)
    axes = figure.subplots()
    for statistic, marker in zip(STATISTICS, "os"):
        rows = [row for row in found["decodings"] if row["statistic"] == statistic]
        drawn = axes.scatter(
            *([row[name] for row in rows] for name in ("balanced", "raw")),
            c=[row["colourfulness"] for row in rows],
            marker=marker,
            vmin=0.5,
            vmax=1.2,
            label=statistic,
        )
    best = on_frontier(found)
    axes.plot(*([row[name] for row in best] for name in ("balanced", "raw")), color="0.6", zorder=0)
    for number, row in enumerate(best, start=1):
        axes.annotate(
            str(number), (row["balanced"], row["raw"]), (4, 4), textcoords="offset points"
        )
    axes.axhline(found["gray"]["raw"], linestyle=":", color="0.4", label="all gray, raw")
    axes.set(xlabel="balanced AuC, %", ylabel="raw AuC, %", title=f"{found['photos']} photos")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.colorbar(drawn, label="colourfulness, of the truth's")
    return charts.png(figure)
