"""One colour for one thing, and grays without a tint: ab of the cells, by the photo's lightness.

A network that chooses a colour for every cell by itself gives a wall several. `even` draws the
colours of cells together where the lightness does not change: they minimise

    sum over cells of (u - ab)^2 + evenness sum over neighbours of exp(-|L - L'| / STEP) (u - u')^2,

to a good approximation in a few passes along the rows and the columns (Min et al., "Fast global
image smoothing based on weighted least squares", IEEE TIP 2014). O(cells). `fade` takes the colour
from the darks, whose hue a network knows least: there gray is nearest to the truth on the
mean. `tint` takes the weak colours away, which a network gives to most that is gray or white.
docs/measurements.md, "One colour for one thing" and "Whites that stay white", has what they gain.
"""

import numpy as np

from cic.system.arrays import Array, Floats

STEP = 2.0  # L: over such a change of lightness cells are drawn together 1 / e as much
PASSES = 3  # along the rows and the columns; more bring no change that is seen
LIGHTS = 75.0  # L: from here to white `tint` rises ...
AT_WHITE = 3.0  # ... to so many times itself, as a tint shows most there


def refine(
    ab: Floats, light: Floats, evenness: float = 0.0, fade: float = 0.0, tint: float = 0.0
) -> Floats:
    """Return ab (h, w, 2) of cells, made even and faded by their lightness L (h, w), float32.

    All are in CIELAB units. `evenness` is the weight of a difference between neighbours, 0 for
    none; below the L `fade` the chroma falls to 0 at black, in proportion to L. Of a chroma of
    `tint` half is left, of weaker ones less, of strong ones nearly all; in the lights `tint` counts
    up to AT_WHITE times.
    """
    if evenness:
        ab = even(ab, light, evenness)
    if fade:
        ab = ab * np.minimum(1, light / np.float32(fade))[..., None]
    if tint:
        ab = without_tints(ab, light, tint)
    return ab


def without_tints(ab: Floats, light: Floats, tint: float) -> Floats:
    """Return ab (h, w, 2) at the lightness L (h, w), the weak ones nearer to gray, float32.

    The chroma c becomes c^3 / (c^2 + t^2), where t is `tint` and rises from L LIGHTS on.
    """
    lights = np.clip((light - LIGHTS) / (100 - LIGHTS), 0, 1)
    threshold = np.float32(tint) * (1 + (AT_WHITE - 1) * lights)
    squared = np.square(ab).sum(axis=-1)
    return ab * (squared / (squared + threshold**2))[..., None]


def even(ab: Floats, light: Floats, evenness: float) -> Floats:
    """Return ab (h, w, 2) drawn together along the lightness L (h, w), float32: see above."""
    down, across = (np.exp(-np.abs(np.diff(light, axis=axis)) / STEP) for axis in (0, 1))
    for number in range(1, PASSES + 1):
        # Each pass is finer than the last, so that no streaks are left; Min et al., equation 10.
        part = 1.5 * 4 ** (PASSES - number) / (4**PASSES - 1) * evenness
        ab = _solved(ab.swapaxes(0, 1), part * across.T).swapaxes(0, 1)
        ab = _solved(ab, part * down)
    return np.ascontiguousarray(ab)


def _solved(ab: Array, bonds: Array) -> Floats:
    """Return the u (n, m, 2) nearest to ab along the first axis, neighbours drawn together by
    bonds.

    `bonds` (n - 1, m) weigh their squared differences. The system of each of the m lines is
    tridiagonal: Thomas's algorithm.
    """
    before, after = (np.pad(bonds, (ends, (0, 0))) for ends in ((1, 0), (0, 1)))
    share, u = np.empty_like(after), np.array(ab, np.float32, order="C")
    last = np.zeros_like(after[0]), np.zeros_like(u[0])
    for k in range(len(u)):
        scale = 1 / (1 + before[k] + after[k] - before[k] * last[0])
        share[k] = after[k] * scale
        u[k] = (u[k] + before[k, :, None] * last[1]) * scale[:, None]
        last = share[k], u[k]
    for k in range(len(u) - 2, -1, -1):
        u[k] += share[k, :, None] * u[k + 1]
    return u
