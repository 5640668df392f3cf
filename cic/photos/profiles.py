"""Convert a photo's colours to sRGB, whatever its ICC profile. LittleCMS does the work."""

import io
import struct
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageCms

from cic.system.arrays import Array, Bytes, Doubles

_DAMAGE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
_SAME = 1  # 8-bit levels: a profile that moves colours no further is sRGB by another name
_AGREED = 1.5  # 8-bit levels: a curve no further from LittleCMS's, which are whole, is the same
_POWER = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # ICC.1, 10.18: the numbers after the exponent, in kind 0
_CUBE = (0, 1, 16, 32, 64, 96, 128, 160, 192, 224, 254, 255)  # levels at which that is tried


# Bradford's cone responses, and the white of profiles (ICC.1, annex E and 7.2.16).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])
_SRGB_CURVE = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1 as kind 3


@cache
def srgb() -> bytes:
    """Return the ICC profile of sRGB, some 600 bytes, the same at every call."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # ICC.1, 7.2.1: LittleCMS writes today's
    return profile[:24] + date + profile[36:]


def to_srgb(
    image: Image.Image, profile: bytes | None = None, own: bool = False
) -> tuple[Image.Image, bytes | None]:
    """Pillow image, any 8-bit mode -> (image of mode RGB in sRGB, the profile true of it or None).

    A `profile`, ICC bytes, that is damaged, or of another colour space than the photo, is ignored,
    as browsers do. One that is sRGB in effect is kept, and pixels stay what they are. If `own`, the
    image may be changed itself.
    """
    if profile and image.mode in ("1", "L", "LA"):
        table = _gray_table(profile)
        if table is None:
            return image.convert("RGB"), srgb() if is_valid(profile, "L") else None
        return image.convert("L").point(table.tolist()).convert("RGB"), srgb()
    colours = image if image.mode in ("RGB", "CMYK") else image.convert("RGB")
    transform = _transform(profile, colours.mode) if profile else None
    if transform is None:
        kept = profile if profile and colours.mode == "RGB" and is_valid(profile, "RGB") else None
        return colours if colours.mode == "RGB" else colours.convert("RGB"), kept
    if colours.mode == "RGB" and (own or colours is not image):
        ImageCms.applyTransform(colours, transform, inPlace=True)
        return colours, srgb()
    return ImageCms.applyTransform(colours, transform), srgb()  # type: ignore[return-value]


@lru_cache(maxsize=16)
def _built(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return LittleCMS's transform from `profile` to sRGB, perceptual intent; None if it has none.

    `mode` is Pillow's of the image to transform.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Of gray LittleCMS would keep some 40 points of the curve: up to 9 levels off in the dark.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)
    except _DAMAGE:  # so LittleCMS also calls a profile of another colour space than the mode's
        return None


def is_valid(profile: bytes, mode: str) -> bool:
    """Return whether a profile is whole, and of the colour space of images of `mode`: L, RGB or
    CMYK.
    """
    return _built(profile, mode) is not None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of `_built`; None, too, if its profile is sRGB in effect."""
    transform = _built(profile, mode)
    if mode != "RGB" or transform is None:
        return transform
    cube = np.stack(np.meshgrid(_CUBE, _CUBE, _CUBE), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(int) - cube
    return None if np.abs(moved).max() <= _SAME else transform


@lru_cache(maxsize=16)
def _gray_table(profile: bytes) -> Bytes | None:
    """Return (256,) uint8 sRGB level of each level of a gray `profile`; None if it is to be
    ignored.
    """
    transform = _transform(profile, "L")
    if transform is None:
        return None
    ramp = np.arange(256, dtype=np.uint8)
    table = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp[None]), transform))[0, :, 1]
    return None if np.abs(table.astype(int) - ramp).max() <= _SAME else table


@lru_cache(maxsize=4)
def tone_curve(profile: bytes) -> NDArray[np.uint16] | None:
    """Return (65536,) uint16 sRGB value of each 16-bit value of a gray `profile`; None if it is
    ignored.

    It is computed from the profile's own curve, unless that cannot be found or is not all that
    LittleCMS, which has no gray of 16 bits on either side, makes of the profile. Then its 8 bits
    are interpolated, to about half a level of these. Where many levels become one, that one belongs
    to their middle, at either end to the outermost; in between the curve is straight.
    """
    table = _gray_table(profile)
    if table is None:
        return None
    with np.errstate(all="ignore"):
        light = _gray_curve(profile)
        if light is not None:
            light = np.clip(light, 0, 1)
            power = 1.055 * light ** (1 / 2.4) - 0.055  # IEC 61966-2-1
            values = np.where(light <= 0.0031308, 12.92 * light, power)
            if np.abs(values[::257] * 255 - table).max() <= _AGREED:  # not so with NaN
                return np.rint(values * 65535).astype(np.uint16)
    levels, first, count = np.unique(table, return_index=True, return_counts=True)
    middles = first + (count - 1) / 2
    middles[0], middles[-1] = first[0], first[-1] + count[-1] - 1
    values = np.interp(np.arange(65536) / 257, middles, levels)
    return np.rint(values * 257).astype(np.uint16)


def _gray_curve(profile: bytes) -> Doubles | None:
    """Return (65536,) linear light of each 16-bit value of a gray profile (ICC.1, 10.6 and 10.18).

    None if there is no such curve in it.
    """
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        tags = (struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(min(count, 99)))
        at = next(start for name, start, _ in tags if name == b"kTRC")
        x = np.linspace(0, 1, 65536)
        if profile[at : at + 4] == b"curv":
            (count,) = struct.unpack_from(">I", profile, at + 8)
            if count == 0:
                return x
            points = np.frombuffer(profile, ">u2", count, at + 12)
            if count == 1:
                return x ** (points[0] / 256)
            return np.interp(x * (count - 1), np.arange(count), points / 65535)
        if profile[at : at + 4] != b"para":
            return None
        (kind,) = struct.unpack_from(">H", profile, at + 8)
        count = (1, 3, 4, 5, 7)[kind]
        g, *rest = struct.unpack_from(f">{count}i", profile, at + 12)
    except (struct.error, StopIteration, ValueError, IndexError):
        return None
    # What a kind lacks is 0, so that one formula does for all.
    a, b, c, d, e, f = [n / 65536 for n in rest] + [0.0] * (6 - len(rest)) if rest else _POWER
    power = np.maximum(a * x + b, 0) ** (g / 65536)
    if kind <= 2:  # beyond where the power starts there is c, and c is added to it
        return power + c
    return np.where(x >= d, power + e, c * x + f)


def are_places(places: ArrayLike) -> bool:
    """Return whether eight numbers are the chromaticities (x, y) of a white, a red, a green and a
    blue.
    """
    pairs = np.reshape(places, (4, 2))
    if not np.isfinite(pairs).all() or pairs.min() < 0 or (pairs[:, 1] < 0.01).any():
        return False
    light = np.linalg.det(_xyz_of(pairs[1:]))
    if abs(light) <= 0.01:
        return False
    return bool((np.linalg.solve(_xyz_of(pairs[1:]), _white(pairs)) > 0).all())


@lru_cache(maxsize=16)
def made(exponent: float | None, places: tuple[float, ...], gray: bool = False) -> bytes:
    """Return the ICC profile of colours by their chromaticities: see `are_places`; or of `gray`.

    `exponent` leads from values to light; None is the curve of sRGB.
    """
    kind, *numbers = _SRGB_CURVE if exponent is None else (0, exponent)
    curve = b"para\0\0\0\0" + struct.pack(">Hxx", kind) + b"".join(map(_fixed, numbers))
    tags = {b"wtpt": _xyz_tag(_D50)}
    if gray:
        return _assembled(b"GRAY", {**tags, b"kTRC": curve})
    pairs = np.reshape(places, (4, 2))
    white, matrix = _white(pairs), _xyz_of(pairs[1:])
    cones = _BRADFORD @ _D50 / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    columns = adapted @ (matrix * np.linalg.solve(matrix, white))
    for letter, column in zip((b"r", b"g", b"b"), columns.T):
        tags[letter + b"XYZ"], tags[letter + b"TRC"] = _xyz_tag(column), curve
    return _assembled(b"RGB ", tags)


def _xyz_of(pairs: Array) -> Doubles:
    """(n, 2) chromaticities -> (3, n) XYZ with Y 1."""
    x, y = pairs.T
    return np.array([x / y, np.ones_like(x), (1 - x - y) / y])


def _white(pairs: Array) -> Doubles:
    return _xyz_of(pairs[:1])[:, 0]


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(float(value) * 65536))


def _xyz_tag(values: Iterable[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _assembled(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a profile of version 4 (ICC.1, 7): header, table of tags, tags."""
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x04000000) + b"mntr" + space + b"XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(_fixed, _D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
