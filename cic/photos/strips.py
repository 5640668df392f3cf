"""Make pictures a strip of rows at a time, so that a result is never in memory whole."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from cic.system.arrays import Array

_BAND = 1 << 20  # values of a strip of an array


class Striped(Protocol):
    """A picture that comes a strip of rows at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""

    def strips(self) -> Iterable[Array]:
        """Return the rows from top to bottom, (n, W, 3) each."""

    def image(self) -> Image.Image:
        """Return all of it, of mode RGB."""


Picture: TypeAlias = Array | Striped


def strips(picture: Picture) -> Iterator[Array]:
    """Yield (n, W, 3) of a picture from top to bottom: an array (H, W, 3), or what has `strips`."""
    if not isinstance(picture, np.ndarray):
        yield from picture.strips()
        return
    rows = max(1, _BAND * len(picture) // picture.size)
    for top in range(0, len(picture), rows):
        yield picture[top : top + rows]


def with_alpha(strips: Iterable[Array], alpha: Image.Image | None) -> Iterator[Array]:
    """Yield strips (n, W, 3) with the rows of alpha, scaled to their type, as a fourth channel."""
    top = 0
    for strip in strips:
        if alpha is None:
            yield strip
            continue
        rows = np.asarray(alpha.crop((0, top, alpha.width, top + len(strip))))[..., None]
        top += len(strip)
        scaled = rows if strip.dtype == np.uint8 else np.multiply(rows, 257, dtype=np.uint16)
        yield np.concatenate([strip, scaled], axis=2)
