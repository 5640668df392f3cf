"""cic.colour.lab against skimage.color, against plain float64 formulas, and against itself."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import color, data

from cic.colour import lab

RGB_TO_XYZ = color.rgb2xyz(np.eye(3)).T
LUMINANCE = RGB_TO_XYZ[1]
WHITE = color.xyz_tristimulus_values(illuminant="D65", observer="2")

# The linear -> 8-bit table of recolor may take the other side of a rounding boundary nearer than
# half a cell (0.0063 of an 8-bit step in the dark); float32 arithmetic adds about half as much.
HAIR = 0.01

byte_images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
seeds = st.integers(0, 2**32 - 1)


def every_colour():
    """Yield all 2**24 8-bit colours as 32 (2**19, 3) uint8 arrays."""
    level = np.arange(256, dtype=np.uint8)
    for red in np.split(level, 32):
        grid = np.stack(np.meshgrid(red, level, level, indexing="ij"), axis=-1)
        yield grid.reshape(-1, 3)


def photographs():
    """Return three real (H, W, 3) uint8 photographs, largest side 600 pixels."""
    return [data.astronaut(), data.coffee(), data.chelsea()]


def decode(levels, most=255):
    """(...) float64 sRGB in [0, most] -> (...) float64 linear light."""
    srgb = np.clip(levels, 0, most) / most
    return np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)


def f(t):
    """(...) float64 XYZ over white -> (...) CIE 15's f."""
    return np.where(t > (6 / 29) ** 3, np.cbrt(t), 841 / 108 * t + 4 / 29)


def f_inverse(value):
    """(...) float64 f(t) -> (...) t."""
    return np.where(value > 6 / 29, value**3, 108 / 841 * (value - 4 / 29))


def recolor_oracle(rgb, ab, most=255):
    """Return (H, W, 3) float64 unrounded levels up to `most`: recolor, one formula at a time."""
    y = decode(rgb.astype(float), most) @ LUMINANCE
    fx, fz = f(y) + ab[..., 0] / 500.0, f(y) - ab[..., 1] / 200.0
    xyz = np.stack([f_inverse(fx), y, f_inverse(fz)], axis=-1) * WHITE
    gray = y[..., None]
    shift = xyz @ np.linalg.inv(RGB_TO_XYZ).T - gray
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(shift > 0, (1 - gray) / shift, np.where(shift < 0, -gray / shift, 1))
    linear = gray + np.clip(room.min(axis=-1, keepdims=True), 0, 1) * shift
    linear = np.clip(linear, 0, 1)
    return most * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def assert_keeps_luminance(out, rgb):
    """Rounding to 8 bits moves each channel by half a step: the old Y lies between the two ends."""
    y = decode(rgb.astype(float)) @ LUMINANCE
    steps = 0.5 + HAIR
    assert (decode(out - steps) @ LUMINANCE <= y + 1e-6).all()
    assert (decode(out + steps) @ LUMINANCE >= y - 1e-6).all()


def some_ab(shape, seed, size=110):
    """Return (*shape, 2) float32 a and b, uniform in [-size, size]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-size, size, (*shape, 2)).astype(np.float32)


def test_every_8_bit_colour_agrees_with_skimage():
    for rgb in every_colour():
        assert np.abs(lab.rgb_to_lab(rgb) - color.rgb2lab(rgb)).max() < 1e-3


def test_every_8_bit_colour_comes_back():
    for rgb in every_colour():
        back = lab.lab_to_rgb(lab.rgb_to_lab(rgb))
        assert np.array_equal(np.rint(back * 255), rgb)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_rgb_is_not_quantised(dtype):
    rgb = np.random.default_rng(0).random((99, 7, 3)).astype(dtype)
    rgb[0] = [0.0, 1.0, 0.04]
    expected = color.rgb2lab(rgb.astype(np.float64))
    assert np.abs(lab.rgb_to_lab(rgb) - expected).max() < 1e-3


def test_float_and_8_bit_input_agree():
    rgb = data.coffee()
    assert np.abs(lab.rgb_to_lab(rgb) - lab.rgb_to_lab(rgb / 255)).max() < 5e-4


def test_lab_to_rgb_agrees_with_skimage_in_and_out_of_gamut():
    rng = np.random.default_rng(1)
    colours = rng.uniform([0, -120, -120], [100, 120, 120], (200, 500, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # skimage warns that it stops f(Z) at 0
        expected = color.lab2rgb(colours)
    for dtype in (np.float32, np.float64):
        found = lab.lab_to_rgb(colours.astype(dtype))
        assert np.abs(found - expected).max() < 1e-4
        assert found.min() == 0
        assert 1 - 1e-6 < found.max() <= 1


def test_lightness_is_the_l_of_lab():
    for photo in photographs():
        assert np.abs(lab.lightness(photo) - lab.rgb_to_lab(photo)[..., 0]).max() < 1e-4


@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (5,), (2, 3, 4), (2**15 - 1,), (2**15,), (2**15 + 1,)]
)
def test_shapes_and_dtypes(shape):
    rgb = np.full((*shape, 3), 200, np.uint8)
    light = lab.lightness(rgb)
    colours = lab.rgb_to_lab(rgb)
    back = lab.lab_to_rgb(colours)
    assert (light.shape, colours.shape, back.shape) == (shape, rgb.shape, rgb.shape)
    assert light.dtype == colours.dtype == back.dtype == np.float32
    assert np.allclose(light, color.rgb2lab(np.full(3, 200, np.uint8))[0], atol=1e-3)
    assert np.array_equal(np.rint(back * 255), rgb)


def test_strided_views():
    photo = data.chelsea()
    view = photo[::2, ::-3, ::-1]
    ab = some_ab(photo.shape[:2], 0)[::2, ::-3, ::-1]
    plain, plain_ab = view.copy(), ab.copy()
    assert np.array_equal(lab.rgb_to_lab(view), lab.rgb_to_lab(plain))
    assert np.array_equal(lab.lightness(view), lab.lightness(plain))
    assert np.array_equal(lab.recolor(view, ab), lab.recolor(plain, plain_ab))


def test_inputs_are_left_alone():
    photo, ab = data.chelsea(), some_ab(data.chelsea().shape[:2], 0)
    colours = lab.rgb_to_lab(photo)
    copies = photo.copy(), ab.copy(), colours.copy()
    lab.lightness(photo)
    lab.recolor(photo, ab)
    lab.lab_to_rgb(colours)
    for array, copy in zip((photo, ab, colours), copies, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize(
    ("call", "offender"),
    [
        (lambda: lab.rgb_to_lab(np.zeros((4, 4), np.uint8)), r"\(4, 4\)"),
        (lambda: lab.rgb_to_lab(np.uint8(3)), r"\(\)"),
        (lambda: lab.rgb_to_lab(np.zeros((4, 3), np.int64)), "int64"),
        (lambda: lab.rgb_to_lab(np.full((4, 3), 255.0)), "255"),
        (lambda: lab.rgb_to_lab(np.full((4, 3), -0.5)), "-0.5"),
        (lambda: lab.rgb_to_lab(np.full((4, 3), np.nan)), "nan"),
        (lambda: lab.lightness(np.zeros((4, 3), np.float32)), "float32"),
        (lambda: lab.lightness(np.zeros((4, 1), np.uint8)), r"\(4, 1\)"),
        (lambda: lab.lab_to_rgb(np.zeros((4, 3), np.uint8)), "uint8"),
        (lambda: lab.lab_to_rgb(np.zeros((3, 4))), r"\(3, 4\)"),
        (lambda: recolor_zeros((4, 5, 3), (4, 5, 3)), r"\(4, 5, 3\)"),
        (lambda: recolor_zeros((4, 5, 3), (5, 4, 2)), r"\(5, 4, 2\)"),
        (lambda: recolor_zeros((5, 3), (5, 2)), r"\(5, 2\)"),
        (lambda: recolor_zeros((4, 5, 3), (4, 5, 2), np.float32), "float32"),
        (lambda: recolor_zeros((4, 5, 3), (4, 5, 2), np.uint8, np.int8), "int8"),
        (lambda: recolor_zeros((4, 5, 3), (4, 5, 2), np.uint16), r"\(4, 5, 3\)"),
        (lambda: recolor_zeros((4, 5), (5, 4, 2), np.uint16), r"\(H, W\) gray"),
        (lambda: recolor_zeros((4, 5), (4, 5, 2)), r"\(4, 5\)"),
    ],
)
def test_errors_name_the_offending_value(call, offender):
    with pytest.raises(ValueError, match=offender):
        call()


def recolor_zeros(shape, ab_shape, dtype=np.uint8, ab_dtype=np.float32):
    """Recolor a black photo of the given shape and dtype with a = b = 0."""
    return lab.recolor(np.zeros(shape, dtype), np.zeros(ab_shape, ab_dtype))


@given(rgb=byte_images)
def test_round_trip(rgb):
    assert np.array_equal(np.rint(lab.lab_to_rgb(lab.rgb_to_lab(rgb)) * 255), rgb)


@given(rgb=byte_images, seed=seeds)
def test_recolor_keeps_lightness(rgb, seed):
    assert_keeps_luminance(lab.recolor(rgb, some_ab(rgb.shape[:2], seed)), rgb)


@given(rgb=byte_images, seed=seeds)
def test_recolor_equals_the_oracle(rgb, seed):
    ab = some_ab(rgb.shape[:2], seed)
    assert np.abs(lab.recolor(rgb, ab) - recolor_oracle(rgb, ab)).max() <= 0.5 + HAIR


@settings(max_examples=20)
@given(seed=seeds, size=st.sampled_from([0, 5, 40, 110]))
def test_recolor_equals_the_oracle_on_photographs(seed, size):
    for photo in photographs():
        photo = photo[::7, ::7]
        ab = some_ab(photo.shape[:2], seed, size)
        out = lab.recolor(photo, ab)
        assert np.abs(out - recolor_oracle(photo, ab)).max() <= 0.5 + HAIR
        assert_keeps_luminance(out, photo)


@settings(max_examples=20)
@given(seed=seeds, size=st.sampled_from([0, 5, 40, 110]))
def test_recolor_of_16_bit_gray_equals_the_oracle(seed, size):
    """float32 arithmetic adds up to two of 65,535 steps to the rounding's half."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 65536, (40, 50), np.uint16)
    gray[0, :4] = 0, 1, 65534, 65535
    ab = some_ab(gray.shape, seed, size)
    out = lab.recolor(gray, ab)
    assert out.dtype == np.uint16
    oracle = recolor_oracle(gray[..., None].repeat(3, axis=2), ab, 65535)
    assert np.abs(out - oracle).max() <= 2.5


def test_recolor_tells_every_16_bit_gray_from_the_next():
    gray = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    out = lab.recolor(gray, np.full((256, 256, 2), 3, np.float32))
    light = lab.rgb_to_lab(out / 65535)[..., 0].ravel()
    assert (np.diff(light[100:-100]) > -1e-4).all()
    assert len(np.unique(out[..., 1])) > 60_000  # 8 bits would leave 256


def test_recolor_with_its_own_ab_is_the_identity():
    for photo in photographs():
        assert np.array_equal(lab.recolor(photo, lab.rgb_to_lab(photo)[..., 1:]), photo)


def test_recolor_leaves_gray_alone():
    gray = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    ab = np.zeros((256, 1, 2), np.float32)
    assert np.array_equal(lab.recolor(gray, ab), gray)


def test_recolor_can_take_the_colour_away():
    for photo in photographs():
        out = lab.recolor(photo, np.zeros((*photo.shape[:2], 2), np.float32))
        assert np.ptp(out, axis=-1).max() <= 1  # a = b = 0 is gray but for skimage's rounded white
        assert_keeps_luminance(out, photo)


def test_lab_of_whole_numbers_is_taken():
    expected = lab.lab_to_rgb(np.float32([50, 20, -30]))
    assert np.array_equal(lab.lab_to_rgb(np.array([50, 20, -30])), expected)
