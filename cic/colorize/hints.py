"""Spread colours that a person chose at places of a photo to what belongs together.

The ab of the cells are modelled as a Gaussian process (Rasmussen and Williams 2006, section 2.2).
Its mean is the network's prediction, and two cells x and y are as correlated as they are alike,

    covariance(x, y) = s(x) s(y) exp(-|f(x) - f(y)|) + ab(x) . ab(y) / VIVID^2,

where f is the place, the lightness and the predicted ab of a cell, and s says how unsure the
network is of it: the square root of its distribution's standard deviation, scaled to a mean of 1. A
hint is a measurement, and the other cells follow by regression. So a hint moves cells that are
near, equally light and of a similar colour, the more so the less sure the network is; by the last
term hints also say how colourful the photo is.

That holds for the first FAR units by which a hint differs from the prediction. A hint that differs
more says what no network can know, that this dress is blue, and nothing about the skin beside it.
So the rest of the difference moves cells by exp(-|g(x) - g(y)|^2) alone, where g is f over the
shorter distances of OWN: only what belongs together with the place. O(cells x hints).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, prod
from typing import NamedTuple

import numpy as np

from cic.colour.bins import AB
from cic.colour.distributions import softmax
from cic.colour.lab import ab_distance, lab_to_rgb, rgb_to_lab
from cic.photos.damage import PhotoError
from cic.system import bounded_json
from cic.system.arrays import Array, Floats
from cic.system.errors import InputError, SettingError
from cic.system.typing import Json, StrPath

# Chosen on 50 photographs of bsds/val with 1 to 50 hints each (docs/measurements.md, "Hints").
ALIKE = 1.6, 60.0, 40.0  # short sides, L, ab: where the correlation is 1 / e
VIVID = 20.0  # CIELAB units
FAR = 12.0  # CIELAB units
OWN = 0.6, 25.0, 16.0  # as ALIKE
NOISE = 0.01  # variance of a hint's error, of that of the network's
SPREAD = 1.0  # CIELAB units: the least of a distribution
MOST = 1000  # hints of a photo
MEASURED = 150  # cells within a radius that are measured at the most, evenly spread
APART = 18.0  # CIELAB units between two of `likely`


@dataclass(frozen=True)
class Hint:
    """A colour at a place: pixel (x, y) of the upright photo, from its top left corner.

    `color` is sRGB as "#3a5f9e"; only its ab count, the lightness stays the photo's. The hint holds
    for all places within `radius` pixels. Raises ValueError for wrong numbers or colours.
    """

    x: float
    y: float
    color: str
    radius: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x", "y", "radius"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not isfinite(value) or value < 0:
                raise SettingError(f"{name} is {value!r}: it must be a number from 0 on")
        if not (isinstance(self.color, str) and re.fullmatch("#[0-9a-fA-F]{6}", self.color)):
            raise SettingError(f'color is {self.color!r}: it must be like "#3a5f9e"')

    @property
    def ab(self) -> Floats:
        """ab (2,) float32 of the colour, CIELAB units."""
        return rgb_to_lab(np.frombuffer(bytes.fromhex(self.color[1:]), np.uint8))[1:]


class Outside(PhotoError):
    """A place that is no pixel of the photo."""


def read(path: StrPath) -> tuple[Hint, ...]:
    """Return the hints of a JSON file, a list of {"x": 120, "y": 80, "color": "#3a5f9e"}.

    "radius" may stand beside them. Raises InputError, naming file and hint.
    """
    return _checked(partial(bounded_json.load, path), str(path))


def of_text(text: str | bytes) -> tuple[Hint, ...]:
    """Return the hints of such JSON itself; raise InputError, naming the hint."""
    return _checked(partial(bounded_json.loads, text), "hints")


def _checked(load: Callable[[], Json], name: str) -> tuple[Hint, ...]:
    try:
        found = load()
    except ValueError as error:
        raise InputError(f"{name}: no JSON: {error}") from None
    if not isinstance(found, list) or len(found) > MOST:
        raise InputError(f'{name}: not a list of up to {MOST} {{"x": 1, "y": 2, "color": "#..."}}')
    return tuple(_hint(entry, f"{name}: hint {n}") for n, entry in enumerate(found, start=1))


def _hint(entry: Json, name: str) -> Hint:
    known = Hint.__dataclass_fields__.keys()
    if not isinstance(entry, dict) or not {"x", "y", "color"} <= entry.keys() <= known:
        raise InputError(f'{name} must have "x", "y" and "color", may have "radius", and no more')
    try:
        return Hint(**entry)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def follow(
    ab: Floats,
    hints: Sequence[Hint],
    sides: tuple[int, int],
    light: Floats,
    logits: Floats | None = None,
) -> Floats:
    """Return ab (h, w, 2) of a photo's cells as `hints` want them, float32, CIELAB units.

    `sides` are the height and width of the photo, `light` (h, w) the L of the cells, and `logits`
    (313, h, w) what the network said; without them it is as unsure of all. Raises Outside for a
    hint that lies outside of the photo.
    """
    if not hints:
        return ab
    if not all(isinstance(hint, Hint) for hint in hints):
        raise SettingError('hints are a list of Hint: hints.read("hints.json") gives one')
    place, wanted, points = _meant(hints, sides, light.shape)
    some = np.r_[:points, points : len(place) : 1 + len(place) // MEASURED]
    found = _spread_far(ab, place[some], wanted[some], light, logits)
    found.reshape(-1, 2)[place] = wanted
    return found


def _spread_far(
    ab: Floats, place: Array, wanted: Array, light: Floats, logits: Floats | None
) -> Floats:
    """Return what `spread` gives, but for what is beyond FAR: that moves only what belongs
    together.
    """
    step = wanted - ab.reshape(-1, 2)[place]
    step *= FAR / np.maximum(np.hypot(*step.T), FAR)[:, None]
    found = spread(ab, place, ab.reshape(-1, 2)[place] + step, light, logits)
    own = _features(ab, light, OWN)
    likeness = np.exp(-_squares(own, own[place]))
    rest = _regressed(likeness, place, wanted - found.reshape(-1, 2)[place])
    return found + rest.reshape(ab.shape).astype(np.float32)


def spread(
    ab: Floats, place: Array, wanted: Array, light: Floats, logits: Floats | None = None
) -> Floats:
    """Return ab (h, w, 2) of cells after moving those numbered `place` (n,) to `wanted` (n, 2).

    For the rest see `follow`.
    """
    features = _features(ab, light, ALIKE)
    doubt = np.ones(light.size) if logits is None else unsure(logits).ravel()
    colours = ab.reshape(-1, 2).astype(float)
    likeness = np.exp(-np.sqrt(_squares(features, features[place])))
    likeness *= doubt[:, None] * doubt[place]
    likeness += colours @ colours[place].T / VIVID**2
    moved = _regressed(likeness, place, wanted - colours[place])
    return (ab + moved.reshape(ab.shape)).astype(np.float32)


def _regressed(likeness: Array, place: Array, step: Array) -> Array:
    """Return how cells move, (h * w, 2), if those numbered `place` are to move by `step` (n, 2)."""
    between = likeness[place]
    between[np.diag_indices(len(place))] *= 1 + NOISE
    moved: Array = likeness @ np.linalg.solve(between, step)
    return moved


def cell_of(x: float, y: float, sides: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (row, column) of the cell that pixel (x, y) lies in; raise Outside if none does.

    `sides` are the height and width of the photo, `shape` those of the grid of cells.
    """
    if not (0 <= y < sides[0] and 0 <= x < sides[1]):
        size = f"{sides[1]} x {sides[0]} pixels"
        raise Outside(f"({x:g}, {y:g}) lies outside of the photo of {size}")
    return int(y * shape[0] / sides[0]), int(x * shape[1] / sides[1])


def _meant(
    hints: Sequence[Hint], sides: tuple[int, int], shape: tuple[int, ...]
) -> tuple[Array, Array, int]:
    """Return (cells (n,), ab (n, 2)) that the hints speak of, and how many cells are those of a
    place.

    They come first, then those within a radius. A cell of several hints takes the mean.
    """
    total, count = np.zeros((prod(shape), 2)), np.zeros(prod(shape), int)
    points: dict[int, None] = {}
    for number, hint in enumerate(hints, start=1):
        try:
            row, column = cell_of(hint.x, hint.y, sides, shape)
        except Outside as error:
            raise Outside(f"hint {number}: {error}") from None
        here = row * shape[1] + column
        points[here] = None
        cells = np.union1d(here, _within(hint, sides, shape))
        total[cells] += hint.ab
        count[cells] += 1
    others = np.setdiff1d(np.flatnonzero(count), list(points))
    place = np.append(list(points), others)
    return place, total[place] / count[place, None], len(points)


def _within(hint: Hint, sides: tuple[int, int], shape: tuple[int, ...]) -> Array:
    """Return the numbers of the cells whose middle lies within the radius."""
    row, column = ((np.arange(n) + 0.5) * side / n for n, side in zip(shape, sides))
    away = np.hypot(row[:, None] - hint.y, column - hint.x)
    return np.flatnonzero(away <= hint.radius)


def _features(ab: Floats, light: Floats, over: tuple[float, float, float]) -> Array:
    """Return f or g (h * w, 5) of the cells: place, L and ab over these distances."""
    row, column = np.indices(light.shape) / (min(light.shape) * over[0])
    parts = (row, column, light / over[1], *np.moveaxis(ab, -1, 0) / over[2])
    return np.stack(parts, axis=-1).reshape(-1, 5)


def unsure(logits: Floats) -> Array:
    """Return s (h, w) of logits (313, h, w): how unsure the network is of each cell, 1 on the
    mean.
    """
    share = softmax(logits.reshape(len(AB), -1), axis=0).T
    mean = share @ AB
    variance = share @ np.square(AB).sum(-1) - np.square(mean).sum(-1)
    found = np.maximum(variance, SPREAD**2) ** 0.25
    return (found / found.mean()).reshape(logits.shape[1:])


def _squares(one: Array, other: Array) -> Array:
    """Return the squared distances of features (n, 5) and (m, 5): (n, m)."""
    square = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T
    return np.maximum(square, 0)


class Choice(NamedTuple):
    """A possible colour of a place: "#rrggbb" at the place's lightness, and its probability."""

    color: str
    probability: float


def likely(logits: Floats, light: float, count: int = 6) -> list[Choice]:
    """Up to `count` Choices of logits (313,) of a place of that L, the most probable first.

    Each stands for the bins around the most probable one that no other has taken; the probabilities
    sum to 1 or, where more colours are possible, less.
    """
    share = softmax(logits[None], axis=1)[0].astype(float)
    near = ab_distance(AB[:, None], AB) < APART
    found: list[Choice] = []
    while len(found) < count and share.sum() > 0.01:
        around = near[(near @ share).argmax()]
        mass = share[around].sum()
        ab = share[around] @ AB[around] / mass
        rgb = np.rint(lab_to_rgb(np.array([light, *ab])) * 255).astype(int)
        found.append(Choice("#{:02x}{:02x}{:02x}".format(*rgb), float(mass)))
        share[around] = 0
    return found
