"""Pair photos with their results by relative path and stem, read them, and cut them alike."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cic.photos import images, kinds, sources
from cic.system.arrays import Bytes
from cic.system.errors import InputError

NAMED = 3  # files that a line names


@dataclass(frozen=True)
class Pair:
    """Paths of a photo and of its result."""

    photo: str
    result: str


def find(imgs_dir: str, results_dir: str, left_out: kinds.LeftOut | None = None) -> list[Pair]:
    """Return [Pair] of the two folders, in the photos' order: equal relative paths, extensions
    aside.

    `left_out` is as for `sources.walk`, of both. Raises ValueError, naming files: a result without
    its photo, a photo without its result, two files of one stem, or none at all.
    """
    photos, results = (_by_stem(folder, left_out) for folder in (imgs_dir, results_dir))
    extra = [path for stem, path in results.items() if stem not in photos]
    missing = [path for stem, path in photos.items() if stem not in results]
    problems = [
        f"{len(paths)} without a {partner}: {first_few(paths)}"
        for partner, paths in (("photo", extra), ("result", missing))
        if paths
    ]
    if problems:
        raise InputError("; ".join(problems))
    if not photos:
        raise InputError(f"{imgs_dir}: no photo in there")
    return [Pair(photo, results[stem]) for stem, photo in photos.items()]


def _by_stem(folder: str, left_out: kinds.LeftOut | None) -> dict[str, str]:
    """Return {relative path without extension: path}."""
    found: dict[str, str] = {}
    for name in sources.walk(folder, left_out=left_out):
        path, stem = os.path.join(folder, name), os.path.splitext(name)[0]
        if stem in found:
            raise InputError(f"{found[stem]!r} and {path!r}: two files of one stem")
        found[stem] = path
    return found


def first_few(paths: Sequence[str]) -> str:
    """Return the first few of a list of paths, for a line of text."""
    return ", ".join(map(repr, paths[:NAMED])) + (", ..." if len(paths) > NAMED else "")


def _middle(image: Image.Image, path: str, crop: int) -> Image.Image:
    width, height = image.size
    if min(width, height) < crop:
        raise images.PhotoError(f"{path!r}: {width} x {height} is smaller than crop {crop}")
    left, top = (width - crop) // 2, (height - crop) // 2
    return image.crop((left, top, left + crop, top + crop))


@dataclass(frozen=True)
class Cut:
    """How pictures are made smaller: short side at most `resize`, then the middle `crop` square.

    None leaves them as they are.
    """

    resize: int | None = None
    crop: int | None = None

    def read(self, path: str) -> tuple[Bytes, tuple[int, int], bool]:
        """Return ((H, W, 3) uint8, size (w, h) in the file, whether it has transparency: it is
        ignored).

        Raises images.PhotoError, naming the file: see images.opened; or the crop is larger.
        """
        with images.opened(path) as image:
            transparent = image.has_transparency_data
            image = images.to_rgb(image)
        size = image.size
        if self.resize:
            image = images.shrink(image, self.resize)
        if self.crop:
            image = _middle(image, path, self.crop)
        return np.asarray(image), size, transparent

    def read_pair(self, pair: Pair) -> tuple[Bytes, Bytes, bool]:
        """Return (photo, result, whether either has transparency), pictures (H, W, 3) uint8 of one
        size.

        Raises images.PhotoError, naming the file: see `read`; or the sizes differ.
        """
        photo, size, transparent = self.read(pair.photo)
        result, result_size, also = self.read(pair.result)
        if result_size != size:
            (width, height), (w, h) = size, result_size
            raise images.PhotoError(
                f"{pair.result!r}: {w} x {h} beside a photo of {width} x {height}"
            )
        return photo, result, transparent or also


WHOLE = Cut()
