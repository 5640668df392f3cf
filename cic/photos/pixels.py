"""Decode an opened photo within the memory there is, turn it upright, and convert it to sRGB."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from cic.photos import budget, deep, metadata, png_chunks, profiles, stretch
from cic.photos.damage import DAMAGE
from cic.system.quiet import quiet

# Of two bytes of a number Pillow takes the high one. By the other order it takes the low one.
_OTHER_ORDER = {"16B": "16L", "16L": "16B"}
_OTHER_ORDER["16N"] = "16B" if sys.byteorder == "little" else "16L"


@dataclass
class Pixels:
    """Upright pixels in sRGB.

    `image` is of mode RGB, or L if it is gray; of gray of more than 8 bits `deep`, (H, W) uint16
    with white at 65535, has all of them. `alpha` is of mode L, or None. `icc` is a profile that is
    true of the pixels, if the photo had one, whether or not it was `converted` from it.
    """

    image: Image.Image
    deep: NDArray[np.uint16] | None
    alpha: Image.Image | None
    icc: bytes | None
    converted: bool


def decode(
    image: Image.Image,
    stretched: bool = True,
    again: Callable[[], ImageFile.ImageFile] | None = None,
    work: float = 0,
    rgb: bool = True,
) -> str | None:
    """Load the data of an opened Pillow image; return what it says of stretching them, or None.

    16-bit colours that are those of fewer bits are stretched, with their low bytes if `again()`
    gives the image once more. `work` are bytes that the caller will need beside; `rgb` says whether
    an image of mode RGB is wanted of gray of 16 bits. Raises Unsupported if there is not enough
    memory, before anything is decoded.
    """
    budget.check_sides(image.size)
    deep.refuse_misread(image)
    deep.mend_order(image)
    takes_apart = deep.take_apart(image)
    tiles = list(getattr(image, "tile", ()))
    if isinstance(image, ImageFile.ImageFile):
        budget.check(budget.of_image(image, rgb) + work)
    _load(image)  # some formats turn the photo themselves
    if takes_apart:
        deep.put_together(image)
    if not (tiles and stretched and _low_order(tiles)):
        return None
    if not stretch.is_low(image, _profile(image) is not None):
        return None
    low = None if deep.is_planar(image) else again and _low_bytes(again())
    colours, note = stretch.of_colours(image, low)
    if colours is not None:
        planes = [Image.fromarray(plane) for plane in np.moveaxis(colours, 2, 0).copy()]
        image.im = Image.merge(image.mode, (*planes, *image.split()[3:])).im
    return note


def _load(image: Image.Image) -> None:
    """Load the data of an image; libtiff writes what it thinks of them to the screen, unasked."""
    compressed = image.format == "TIFF" and image.info.get("compression") != "raw"
    with quiet() if compressed else nullcontext():
        image.load()


def _low_order(tiles: Sequence[Any]) -> str | None:
    """Return the name of the layout that has the low bytes of 16-bit colours; None if they are
    not.
    """
    args = tiles[0][3]
    layout = args[0] if isinstance(args, tuple) else args
    if not isinstance(layout, str) or layout[:3] != "RGB" or layout[-3:] not in _OTHER_ORDER:
        return None
    return layout[:-3] + _OTHER_ORDER[layout[-3:]]


def _low_bytes(image: ImageFile.ImageFile) -> Image.Image | None:
    """Return the low bytes of 16-bit colours, a Pillow image of mode RGB or RGBA; None if none
    come.
    """
    deep.mend_order(image)
    for n, tile in enumerate(image.tile):
        args = tile[3]
        layout = _low_order([tile])
        args = (layout, *args[1:]) if isinstance(args, tuple) else layout
        image.tile[n] = getattr(tile, "_make", tuple)((*tile[:3], args))  # type: ignore[assignment]
    try:
        _load(image)
    except DAMAGE:
        return None  # there is no such layout
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Pillow image -> upright, of mode RGB, in sRGB: EXIF orientation and ICC profile applied.

    Every mode of Pillow's is taken. Gray of 16 bits is rounded to 8; of floats and 32-bit numbers
    see `deep.gray`. Pillow itself reads PNG and TIFF of 16-bit colours, and takes the high byte.
    Transparency is dropped, and of an animation the current frame taken. Where a PNG has no ICC
    profile, its gAMA and cHRM count.
    """
    decode(image)
    found, _ = convert(image)
    found.deep = found.alpha = None  # before there is more
    rgb = found.image if found.image.mode == "RGB" else found.image.convert("RGB")
    if rgb is not image:
        rgb.info = {}  # nothing is to be applied once more
    return rgb


def convert(
    image: Image.Image, stretched: bool = True, own: bool = False
) -> tuple[Pixels, str | None]:
    """Return (Pixels, a note or None) of a Pillow image, decoded. If `own`, it may be changed
    itself.
    """
    profile = _profile(image)
    if deep.is_deep(image):
        return _of_deep(image, profile, stretched, own)
    turn = metadata.turn(image)
    upright = image.convert("LA") if image.mode == "La" else image  # Pillow converts it no further
    if turn is not None:
        upright = upright.transpose(turn)
        own = True
    alpha = _alpha(upright)
    rgb, icc = profiles.to_srgb(upright, profile, own)
    converted = icc is not None and icc != profile
    if not converted and profile != image.info.get("icc_profile"):
        icc = None  # made for this, and not needed
    return Pixels(rgb, None, alpha, icc, converted), None


def _of_deep(
    image: Image.Image, profile: bytes | None, stretched: bool, own: bool
) -> tuple[Pixels, str | None]:
    curve = profiles.tone_curve(profile) if profile else None
    values, note = deep.gray(image, stretched, curve)
    key = image.info.get("transparency")
    alpha = image.info.get(deep.ALPHA)
    if alpha is None and key is not None:
        seen = np.asarray(image) != key
        alpha = Image.fromarray(np.where(seen, np.uint8(255), np.uint8(0)))
    turn = metadata.turn(image)
    if own:
        free(image)
    if turn is not None:
        values = np.asarray(Image.fromarray(values).transpose(turn))
        alpha = alpha and alpha.transpose(turn)
    if curve is not None:
        if not values.flags.writeable:
            values = values.copy()
        deep.look_up(curve, values, out=values)
    gray = Image.fromarray(deep.to_8_bits(values))
    icc = (
        profiles.srgb()
        if profile and (curve is not None or profiles.is_valid(profile, "L"))
        else None
    )
    return Pixels(gray, values, alpha, icc, curve is not None), note


def _profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile of a Pillow image, or what its gAMA and cHRM say; None if there is
    none.
    """
    profile = image.info.get("icc_profile")
    if profile or not {"gamma", "chromaticity"} & set(image.info):
        return profile
    gray = image.mode in ("1", "L", "LA") or deep.is_deep(image)
    return png_chunks.profile(image.info, gray)


def free(image: Image.Image) -> None:
    """Give the memory of a Pillow image's data back, though it is still referred to."""
    image.im = Image.new(image.mode, (1, 1)).im


def _alpha(image: Image.Image) -> Image.Image | None:
    """Return the transparency of an upright Pillow image as one of mode L; None if it has none."""
    bands = image.getbands()
    if bands[-1] in ("A", "a"):
        return image.getchannel(bands[-1])
    if not image.has_transparency_data:
        return None
    return image.convert("RGBA").getchannel("A")
