"""Flicker and ghosting of a film's colours, cell by cell of what the network puts out."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from cic.colorize.smoothing import cell_means
from cic.colour.lab import ab_distance
from cic.system.arrays import Array

Pair: TypeAlias = Array | Sequence[Array]  # of two frames
STATIC = 1.0  # L: cells whose lightness changes by no more from a frame to the next are static


class Flicker:
    """Mean change of ab from frame to frame of static pixels, CIELAB units; mergeable.

    A pixel, or a cell by its mean, is static if its lightness changes by no more than STATIC. The
    figure is the mean distance in the ab plane over all static pixels: a thing that moves or is lit
    anew may change its colour, a thing that stays may not. Nothing counts across a cut.
    """

    def __init__(self) -> None:
        self.change, self.static, self.pixels = 0.0, 0, 0

    def update(self, light: Pair, ab: Pair) -> None:
        """Add two consecutive frames of a shot: lightness (2, ...) and ab (2, ..., 2)."""
        static = np.abs(light[1] - light[0]) <= STATIC
        self.change += float(ab_distance(ab[1], ab[0])[static].sum(dtype=np.float64))
        self.static += int(static.sum())
        self.pixels += static.size

    def merge(self, other: "Flicker") -> None:
        """Add what `other` has seen."""
        self.change += other.change
        self.static += other.static
        self.pixels += other.pixels

    def compute(self) -> dict[str, float]:
        """Return {"flicker": CIELAB units a frame, "static": their share of all}; 0 of no such
        pixel.
        """
        return {
            "flicker": self.change / max(1, self.static),
            "static": self.static / max(1, self.pixels),
        }


class Ghosting:
    """Mean distance of smoothed ab from those of the frame alone, of moving pixels; mergeable.

    A pixel moves if it is not static (see `Flicker`). The figure, in CIELAB units, has the colours
    that smoothing leaves behind there, and also the noise that it removes.
    """

    def __init__(self) -> None:
        self.distance, self.moving = 0.0, 0

    def update(self, light: Pair, plain: Array, smooth: Array) -> None:
        """Add a frame: lightness (2, ...) of the one before and of itself, its ab (..., 2) each."""
        moving = np.abs(light[1] - light[0]) > STATIC
        self.distance += float(ab_distance(smooth, plain)[moving].sum(dtype=np.float64))
        self.moving += int(moving.sum())

    def merge(self, other: "Ghosting") -> None:
        """Add what `other` has seen."""
        self.distance += other.distance
        self.moving += other.moving

    def compute(self) -> dict[str, float]:
        """Return {"ghosting": ...}; 0 of no moving pixel."""
        return {"ghosting": self.distance / max(1, self.moving)}


class FilmFigures:
    """The flicker of a film before and after smoothing, its ghosting, and its number of shots."""

    def __init__(self) -> None:
        self.before, self.after, self.ghosting = Flicker(), Flicker(), Ghosting()
        self.shots = 0
        self.last: tuple[Array, Array, Array] | None = None

    def update(self, light: Array, plain: Array, smooth: Array, cut: bool) -> None:
        """Add the next frame, as film.Painter tells of it."""
        frame = cell_means(light, plain.shape[:2]), plain, smooth
        if self.last is None or cut:
            self.shots += 1
        else:
            lights, plains, smooths = zip(self.last, frame)
            self.before.update(lights, plains)
            self.after.update(lights, smooths)
            self.ghosting.update(lights, plain, smooth)
        self.last = frame

    def __str__(self) -> str:
        before, after = self.before.compute(), self.after.compute()
        return (
            f"flicker {before['flicker']:.2f} -> {after['flicker']:.2f}, "
            f"ghosting {self.ghosting.compute()['ghosting']:.2f}, {before['static']:.0%} static"
        )
