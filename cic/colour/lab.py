"""sRGB <-> CIELAB (D65, 2 degree observer) in float32, a cache-sized block of pixels at a time.

Every curve here is a power law with a straight toe, and every power is a cube root, a cube or a
square root. The cube root is built from plain arithmetic (see `_cbrt`) because NumPy's own is
vectorised on few processors and some ten times slower than `_cbrt` on the others.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cic.system import pipeline, threads
from cic.system.arrays import Array, Bytes, Floats, Shape

# Linear sRGB -> XYZ with Y of white = 1: the rounded matrix of skimage.color.xyz_from_rgb,
# which follows from the primaries and white point of IEC 61966-2-1.
_XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
# D65, 2 degree observer (CIE 15), rounded as in skimage.color.
_WHITE = np.array([0.95047, 1.0, 1.08883])

# The same between linear sRGB and XYZ relative to white, as CIELAB wants it.
WHITENED = (_XYZ_FROM_RGB / _WHITE[:, None]).astype(np.float32)
_LUMINANCE = WHITENED[1]
_RGB_FROM_WHITENED = (np.linalg.inv(_XYZ_FROM_RGB) * _WHITE).astype(np.float32)
_SHIFT_FROM_WHITENED = _RGB_FROM_WHITENED - np.array([0, 1, 0], np.float32)  # less its gray, Y

# CIE 15: L = 116 f(Y) - 16, a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z)); rows multiply from left.
LAB_FROM_F = np.array([[0, 500, 0], [116, -500, 200], [0, 0, -200]], np.float32)
_F_FROM_LAB = np.linalg.inv(LAB_FROM_F.astype(np.float64)).astype(np.float32)
_F_FROM_AB = np.array([[1 / 500], [-1 / 200]], np.float32)
# CIE 15: f is the cube root above (6/29)**3 and a line of slope (29/6)**2 / 3 below.
F_KNEE = 6 / 29
F_SLOPE = (29 / 6) ** 2 / 3

# IEC 61966-2-1: the sRGB transfer curve is 1.055 v**(1 / 2.4) - 0.055 above this linear value,
# 12.92 v below.
_SRGB_KNEE = 0.0031308

# Pixels at a time: a 176 x 176 sample is one block, its few float32 planes (128 KiB each) stay in
# cache, and its 3 x 3 products stay below the size from which BLAS would start threads.
_BLOCK = 1 << 15
_PARALLEL = 16  # blocks from which on threads pay: half a megapixel
_CODES = 1 << 18  # cells of the linear -> 8-bit table; see _code_table
_TINY = 1e-12  # keeps the division by the distance to black or white finite at black and white


def rgb_to_lab(rgb: ArrayLike) -> Floats:
    """(..., 3) sRGB, uint8 or float in [0, 1] -> (..., 3) float32 Lab, L in [0, 100].

    >>> print(rgb_to_lab(np.uint8([255, 0, 0])).round(1))
    [53.2 80.1 67.2]
    """
    rgb = _checked(rgb, 3, "rgb", np.uint8, np.floating)
    lab = np.empty(rgb.shape, np.float32)

    def convert(source: Array, target: Floats) -> None:
        f = _f(WHITENED @ _linear(source))
        np.matmul(f.T, LAB_FROM_F, out=target)
        target[:, 0] -= 16

    _for_blocks(convert, rgb, lab)
    return lab


def lightness(rgb: ArrayLike) -> Floats:
    """(..., 3) uint8 sRGB -> (...) float32 L in [0, 100], as `rgb_to_lab` gives it."""
    rgb = _checked(rgb, 3, "rgb", np.uint8)
    light = np.empty(rgb.shape[:-1], np.float32)

    def convert(source: Array, target: Floats) -> None:
        f = _f(_LUMINANCE @ _linear(source))
        f *= 116
        np.subtract(f, 16, out=target[:, 0])

    _for_blocks(convert, rgb, light[..., None])
    return light


def lab_to_rgb(lab: ArrayLike) -> Floats:
    """(..., 3) Lab -> (..., 3) float32 sRGB in [0, 1], each channel clipped on its own.

    >>> print(lab_to_rgb([50.0, 0.0, 0.0]).round(3))
    [0.466 0.466 0.466]
    """
    lab = _checked(lab, 3, "lab", np.floating, np.signedinteger)
    rgb = np.empty(lab.shape, np.float32)

    def convert(source: Array, target: Floats) -> None:
        f = _F_FROM_LAB.T @ source.T.astype(np.float32, copy=False)
        f += 16 / 116
        # Only colours far outside sRGB have f(Z) < 0; skimage.color stops them at 0 too.
        np.maximum(f[2], 0, out=f[2])
        srgb = _encode(_RGB_FROM_WHITENED @ _f_inverse(f))
        _interleave(np.clip(srgb, 0, 1, out=srgb), target)

    _for_blocks(convert, lab, rgb)
    return rgb


def ab_distance(one: ArrayLike, other: ArrayLike = 0.0) -> Array:
    """Return the distance in the ab plane of (..., 2) from (..., 2), by default from gray: (...).

    Of gray it is the chroma C*ab; CIELAB units.
    """
    return np.hypot(*np.moveaxis(np.subtract(one, other), -1, 0))


def recolor(photo: ArrayLike, ab: ArrayLike) -> Array:
    """(H, W, 3) uint8 or (H, W) uint16 gray photo, (H, W, 2) float ab -> (H, W, 3) of the same L.

    The result has the photo's dtype. Where the asked colour lies outside sRGB it moves, in linear
    light, straight towards the gray of the same luminance until it fits: less colourful, but
    neither lighter nor darker.

    >>> gray = np.full((1, 1, 3), 119, np.uint8)
    >>> recolor(gray, np.float32([[[30, 20]]])).tolist()
    [[[175, 98, 87]]]
    """
    photo, ab = np.asarray(photo), _checked(ab, 2, "ab", np.floating)
    pixels = _pixels(photo, ab.shape[:-1], ab.shape)
    return _painted(photo, pixels, ab.reshape(-1, 2), lambda f, ab: ab)


def recolor_along(photo: ArrayLike, lines: Floats) -> Array:
    """As `recolor`, with ab that are straight lines in the photo's own L, (6, H, W) float32.

    The slopes of a and b, their offsets, and the lowest and the highest L that they hold for, which
    L beyond is taken for. The arrays are not written to.
    """
    photo = np.asarray(photo)
    pixels = _pixels(photo, lines.shape[1:], lines.shape)

    def at(f: Floats, lines: Floats) -> Floats:
        slope, offset, low, high = lines[:, :2], lines[:, 2:4], lines[:, 4], lines[:, 5]
        light = np.multiply(f, 116)
        light -= 16
        np.maximum(light, low, out=light)
        np.minimum(light, high, out=light)
        ab = np.multiply(slope.T, light, out=np.empty((2, len(light)), np.float32))
        ab += offset.T
        return ab.T

    return _painted(photo, pixels, lines.reshape(6, -1).T, at)


def _pixels(photo: Array, sides: Shape, shape: Shape) -> Array:
    """Return the photo of `recolor` as (N, 3) uint8 or (N, 1) uint16.

    Raises ValueError for any other, or unless its sides are those of the colours, of `shape`.
    """
    deep = photo.dtype == np.uint16
    pixels = photo[..., None] if deep else _checked(photo, 3, "rgb", np.uint8)
    if pixels.ndim != 3 or sides != pixels.shape[:-1]:
        wanted = "(H, W) gray" if deep else "(H, W, 3) rgb"
        raise ValueError(f"want {wanted} and colours for it, got {photo.shape} and {shape}")
    return pixels.reshape(-1, pixels.shape[-1])


def _painted(
    photo: Array, pixels: Array, colours: Array, ab_of: Callable[[Floats, Array], Array]
) -> Array:
    """Return the pixels (N, c) recoloured to what `ab_of(f(Y), colours)` makes of them, (H, W,
    3).
    """
    deep = photo.dtype == np.uint16
    out = np.empty((*photo.shape[:2], 3), photo.dtype)

    def convert(source: Array, colours: Array, target: Array) -> None:
        xyz = np.empty((3, len(source)), np.float32)
        y = xyz[1]
        if deep:
            _deep_table().take(source[:, 0], out=y, mode="wrap")
        else:
            np.matmul(_LUMINANCE, _linear(source), out=y)
        gray = _f(y)
        ab = ab_of(gray, colours)
        f = np.multiply(ab.T, _F_FROM_AB, out=np.empty((2, len(source)), np.float32))
        f += gray
        xyz[::2] = _f_inverse(f)
        linear = _fitted(_SHIFT_FROM_WHITENED @ xyz, y)
        linear += y
        _interleave(_deep_codes(linear) if deep else _codes(linear), target)

    _for_blocks(convert, pixels, colours, out.reshape(-1, 3))
    return out


def _checked(array: ArrayLike, channels: int, name: str, *dtypes: type[np.generic]) -> Array:
    """Any (..., channels) array of one of the dtypes -> itself; else ValueError."""
    array = np.asarray(array)
    if array.ndim == 0 or array.shape[-1] != channels:
        raise ValueError(f"{name} must have shape (..., {channels}), got {array.shape}")
    if not any(np.issubdtype(array.dtype, dtype) for dtype in dtypes):
        wanted = " or ".join(dtype.__name__ for dtype in dtypes)
        raise ValueError(f"{name} must be {wanted}, got {array.dtype}")
    return array


def _for_blocks(convert: Callable[..., None], *arrays: Array) -> None:
    """Call `convert` with (<= _BLOCK, c) slices of (..., c) arrays, of large ones in parallel."""
    flat = [array.reshape(-1, array.shape[-1]) for array in arrays]
    starts = range(0, len(flat[0]), _BLOCK)

    def convert_block(start: int) -> None:
        convert(*(array[start : start + _BLOCK] for array in flat))

    workers = threads.for_computation() if len(starts) >= _PARALLEL else 1
    for _ in pipeline.ahead(convert_block, starts, workers):
        pass


def _interleave(planes: Array, pixels: Array) -> None:
    """Copy (c, n) planes into (n, c) pixels; plane by plane is faster than a transposed copy."""
    for channel, plane in zip(pixels.T, planes, strict=True):
        channel[...] = plane


def _linear(rgb: Array) -> Floats:
    """(n, 3) sRGB, uint8 or float in [0, 1] -> (3, n) float32 linear light in [0, 1]."""
    if rgb.dtype != np.uint8:
        outside = rgb[~((rgb >= 0) & (rgb <= 1))]
        if outside.size:
            raise ValueError(f"float rgb must be in [0, 1], got {outside[0]}")
        return _decode(rgb.T.astype(np.float32, order="C"))
    planes = np.empty(rgb.shape[::-1], np.float32)
    # Any byte is a valid index; "wrap" only because the default mode would buffer the output.
    return linear_table().take(rgb.T, out=planes, mode="wrap")


@functools.cache
def linear_table() -> Floats:
    """Return (256,) float32: the linear light in [0, 1] of each 8-bit sRGB value."""
    return _decode(np.arange(256) / 255).astype(np.float32)


@functools.cache
def _deep_table() -> Floats:
    """Return (65536,) float32: the linear light in [0, 1] of each 16-bit sRGB value."""
    return _decode(np.arange(65536) / 65535).astype(np.float32)


@functools.cache
def _code_table() -> Bytes:
    """Return (_CODES + 1,) uint8: the sRGB value of the middle of each cell of linear light.

    The curve is steepest in the dark, where a cell spans 0.0126 of an 8-bit step: no value further
    than 0.0063 of a step from a rounding boundary is rounded to the wrong side.
    """
    middles = (np.arange(_CODES + 1, dtype=np.float32) + 0.5) / _CODES
    return np.rint(255 * _encode(middles)).astype(np.uint8)


def _codes(linear: Floats) -> Bytes:
    """(...) float32 linear light in [0, 1], overwritten -> (...) uint8 sRGB in [0, 255]."""
    linear *= _CODES
    codes = np.empty(linear.shape, np.uint8)
    return _code_table().take(linear.astype(np.int32), out=codes, mode="clip")


def _deep_codes(linear: Floats) -> NDArray[np.uint16]:
    """(...) float32 linear light in [0, 1] -> (...) uint16 sRGB in [0, 65535]."""
    return np.rint(65535 * _encode(linear)).astype(np.uint16)


def _fitted(shift: Floats, y: Floats) -> Floats:
    """(3, n) linear colour minus its gray, (n,) gray -> (3, n), shortened to fit, in place.

    Gray plus the result lies in [0, 1] in every channel; the direction, hence the hue, is the same.
    """
    excess = np.maximum(np.maximum(shift[0], shift[1]), shift[2])
    excess /= np.clip(1 - y, _TINY, 1)
    lack = np.minimum(np.minimum(shift[0], shift[1]), shift[2])
    lack /= np.clip(y, _TINY, 1)
    times_too_far = np.maximum(excess, np.negative(lack, out=lack), out=excess)
    if times_too_far.max() > 1:
        shift /= np.clip(times_too_far, 1, np.inf, out=times_too_far)
    return shift


def _f(t: Floats) -> Floats:
    """(...) float32 XYZ over white, in [0, 1] -> (...) CIE 15's f(t), in [4/29, 1]."""
    head, toe = _split(t, F_KNEE**3, 0, 2)
    toe *= F_SLOPE
    toe += _cbrt(head)
    return toe


def _f_inverse(f: Floats) -> Floats:
    """(...) float32 f(t) -> (...) t, that is XYZ over white."""
    head, toe = _split(f, F_KNEE, -np.inf, np.inf)
    toe /= F_SLOPE
    cube = head * head
    cube *= head
    cube += toe
    return cube


def _encode(linear: Array) -> Floats:
    """(...) float32 linear light, clipped here to [0, 1] -> (...) float32 sRGB in [0, 1]."""
    head, toe = _split(linear, _SRGB_KNEE, 0, 1)
    toe *= 12.92
    root = _cbrt(head)  # v**(1 / 2.4) = v**(5 / 12) = v**(1 / 3) v**(1 / 12)
    np.sqrt(root, out=head)
    root *= np.sqrt(head, out=head)
    root *= 1.055
    root -= 0.055
    root += toe
    return root


def _decode(srgb: Array) -> Array:
    """(...) float sRGB in [0, 1] -> (...) float linear light in [0, 1], of the same dtype."""
    head, toe = _split(srgb, 12.92 * _SRGB_KNEE, 0, 1)
    return ((head + 0.055) / 1.055) ** 2.4 + toe / 12.92


def _split(value: Array, knee: float, low: float, high: float) -> tuple[Array, Array]:
    """(...) float, clipped to [low, high] -> its part from the knee on, and the rest, <= 0.

    A curve that is continuous at its knee is then its upper law of the first plus its slope below
    times the second, with no branch.
    """
    head = np.clip(value, knee, high)
    toe = np.clip(value, low, knee)
    toe -= knee
    return head, toe


def _cbrt(t: Floats) -> Floats:
    """(...) float32 in [2**-9, 2] -> (...) float32 cube root, relative error < 2e-7.

    Dividing the bits of a float by three divides its exponent by three: a first guess within 3.2 %
    for the best offset, found by search. A step of Newton's iteration squares that error, one of
    Halley's then cubes it.
    """
    bits = t.view(np.uint32) // 3
    bits += 709_952_000
    root = bits.view(np.float32)
    step = root * root  # Newton: (2 y + t / y**2) / 3
    np.divide(t, step, out=step)
    step *= 0.5
    root += step
    root *= 2 / 3
    np.multiply(root, root, out=step)  # Halley: y (r + 2) / (2 r + 1), r = y**3 / t
    step *= root
    step /= t
    step += 0.5
    np.divide(0.75, step, out=step)
    step += 0.5
    root *= step
    return root
