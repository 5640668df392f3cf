"""Colours of a photo in sRGB, whatever ICC profile the photo came with. LittleCMS does the work."""

import io
import struct
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageCms

_DAMAGE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
_SAME = 1  # 8-bit levels: a profile that moves colours no further is sRGB by another name
_AGREED = 1.5  # 8-bit levels: a curve no further from LittleCMS's, which are whole, is the same
_POWER = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # ICC.1, 10.18: the numbers after the exponent, in kind 0
_CUBE = (0, 1, 16, 32, 64, 96, 128, 160, 192, 224, 254, 255)  # levels at which that is tried


@cache
def srgb():
    """The ICC profile of sRGB, some 600 bytes, the same at every call."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # ICC.1, 7.2.1: LittleCMS writes today's
    return profile[:24] + date + profile[36:]


def to_srgb(image):
    """Pillow image, any 8-bit mode -> (image of mode RGB in sRGB, whether a profile was applied).

    A profile that is damaged, or of another colour space than the photo, is ignored, as browsers
    do. One that is sRGB in effect is too, so that pixels stay what they are.
    """
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("1", "L", "LA"):
        table = _gray_table(profile)
        if table is None:
            return image.convert("RGB"), False
        return image.convert("L").point(table.tolist()).convert("RGB"), True
    colours = image if image.mode in ("RGB", "CMYK") else image.convert("RGB")
    transform = _transform(profile, colours.mode) if profile else None
    if transform:
        return ImageCms.applyTransform(colours, transform), True
    return colours if colours.mode == "RGB" else colours.convert("RGB"), False


@lru_cache(maxsize=16)
def _transform(profile, mode):
    """LittleCMS's transform from `profile` to sRGB, perceptual intent; None if it is to be ignored.

    `mode` is Pillow's of the image to transform.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Of gray LittleCMS would keep some 40 points of the curve: up to 9 levels off in the dark.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)
    except _DAMAGE:  # so LittleCMS also calls a profile of another colour space than the mode's
        return None
    if mode != "RGB":
        return transform
    cube = np.stack(np.meshgrid(_CUBE, _CUBE, _CUBE), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(int) - cube
    return None if np.abs(moved).max() <= _SAME else transform


@lru_cache(maxsize=16)
def _gray_table(profile):
    """(256,) uint8 sRGB level of each level of a gray `profile`; None if it is to be ignored."""
    transform = _transform(profile, "L")
    if transform is None:
        return None
    ramp = np.arange(256, dtype=np.uint8)
    table = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp[None]), transform))[0, :, 1]
    return None if np.abs(table.astype(int) - ramp).max() <= _SAME else table


@lru_cache(maxsize=4)
def tone_curve(profile):
    """(65536,) uint16 sRGB value of each 16-bit value of a gray `profile`; None if it is ignored.

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


def _gray_curve(profile):
    """(65536,) linear light of each 16-bit value of a gray profile (ICC.1, 10.6 and 10.18).

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
