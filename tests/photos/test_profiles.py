"""cic.photos.profiles against colours computed from the profiles' own numbers."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from cic.photos import images, profiles
from helpers.icc import (
    ADOBE,
    P3,
    SRGB,
    cmyk_profile,
    encoded,
    formula,
    gray_profile,
    gray_profile_of,
    rgb_profile,
    srgb_of,
    srgb_of_lab,
    table,
)


def image_with(pixels, profile, mode=None):
    image = Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    image.info["icc_profile"] = profile
    return image


@pytest.mark.parametrize(("primaries", "gamma"), [(ADOBE, 2.19921875), (P3, 2.2), (SRGB, 1.8)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_colours_of_other_rgb_spaces(tmp_path, photos, primaries, gamma, suffix):
    photo = np.ascontiguousarray(photos["coffee"][::8, ::8])
    path = tmp_path / f"x{suffix}"
    Image.fromarray(photo).save(path)
    stored = images.read(path)
    Image.fromarray(photo).save(path, icc_profile=rgb_profile(primaries, gamma))
    expected = srgb_of(stored, primaries, gamma)
    assert np.abs(images.read(path) - expected).max() < 2.5
    assert np.abs(images.read(path) - expected).mean() < 0.6
    assert np.abs(stored - expected).mean() > 2  # else nothing was tested
    assert images.open_photo(path).profiled


def test_a_profile_is_applied_once(photos):
    image = image_with(photos["coffee"], rgb_profile(ADOBE, 2.2))
    once = images.to_rgb(image)
    assert images.to_rgb(once) is once
    assert np.array_equal(np.asarray(image), photos["coffee"])  # the argument is as it was


@pytest.mark.parametrize("profile", [profiles.srgb(), b"", b"no profile", gray_profile(1.0)])
def test_what_is_srgb_damaged_or_does_not_fit_changes_nothing(photos, profile):
    image = image_with(photos["rocket"], profile)
    assert images.to_rgb(image) is image


def test_a_damaged_profile_is_ignored(photos):
    photo, whole = photos["rocket"][:50], rgb_profile(ADOBE, 2.2)
    for cut in (20, 130, 200, 300):
        assert np.array_equal(images.to_rgb(image_with(photo, whole[:cut])), photo)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_with_a_profile_of_rgb_is_gray_as_it_is(photos, mode):
    image = image_with(photos["rocket"], rgb_profile(ADOBE, 1.0), mode)
    assert np.array_equal(images.to_rgb(image), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["P", "RGBA", "YCbCr", "HSV"])
def test_colours_of_any_mode(photos, mode):
    image = image_with(photos["coffee"][::8, ::8].copy(), rgb_profile(ADOBE, 2.2), mode)
    expected = srgb_of(np.asarray(image.convert("RGB")), ADOBE, 2.2)
    assert np.abs(np.asarray(images.to_rgb(image)) - expected).max() < 2.5


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_gray_profiles(mode, gamma):
    ramp = np.arange(256, dtype=np.uint8)[None]
    rgb = np.asarray(images.to_rgb(image_with(ramp, gray_profile(gamma), mode)))
    assert np.ptp(rgb, axis=2).max() == 0
    assert np.abs(rgb[0, :, 0] - encoded((ramp[0] / 255) ** gamma)).max() <= 1


X = np.arange(65536) / 65535
REC709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
CURVES = {  # ICC.1, 10.6 and 10.18: the tag, and the light of each value
    "identity": (table([]), X),
    "two points": (table([0, 1]), X),
    "three points": (table([0, 0.1, 1]), np.interp(X, [0, 0.5, 1], [0, 0.1, 1])),
    "4096 points": (table(np.linspace(0, 1, 4096) ** 1.5), X**1.5),
    "kind 0": (formula(0, 1.5), X**1.5),
    "kind 1": (formula(1, 2, 1.25, -0.25), np.maximum(1.25 * X - 0.25, 0) ** 2),
    "kind 2": (formula(2, 2, 0.75, 0.25, -0.0625), (0.75 * X + 0.25) ** 2 - 0.0625),
    "kind 3": (
        formula(3, *REC709),
        np.where(X >= 0.081, ((X + 0.099) / 1.099) ** (1 / 0.45), X / 4.5),
    ),
    "kind 4": (
        formula(4, 3, 0.75, 0.25, 0.5, 0.25, 0.0, 0.0),
        np.where(X >= 0.25, (0.75 * X + 0.25) ** 3, 0.5 * X),
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_16_bit_gray_goes_through_any_curve(name):
    tag, light = CURVES[name]
    found = profiles.tone_curve(gray_profile_of(tag)) / 257
    off = np.abs(found - encoded(light))  # 8-bit levels; the numbers in a profile are rounded
    assert off.max() < 0.1


def test_a_curve_that_is_not_all_of_a_profile_is_left_to_littlecms(monkeypatch):
    """What has no curve, one that is cut, or one that LittleCMS takes otherwise."""
    profile = gray_profile(1.0)
    exact = profiles.tone_curve(profile).astype(int)
    for other in (None, X**3, X * np.nan):
        monkeypatch.setattr(profiles, "_gray_curve", lambda _, other=other: other)
        profiles.tone_curve.cache_clear()
        off = np.abs(profiles.tone_curve(profile) - exact)
        assert 0 < off[1000:].max() < 257
    profiles.tone_curve.cache_clear()


def test_no_cut_of_a_profile_is_an_error():
    for whole in (gray_profile(1.0), *(gray_profile_of(tag) for tag, _ in CURVES.values())):
        for length in range(0, min(len(whole), 300), 3):
            for cut in (whole[:length], whole[:length] + b"\xff" * 40):
                with np.errstate(all="ignore"):
                    profiles._gray_curve(cut)
                profiles.tone_curve(cut)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_16_bit_gray_has_a_smooth_curve(tmp_path, gamma):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(deep).save(tmp_path / "x.png", icc_profile=gray_profile(gamma))
    photo = images.open_photo(tmp_path / "x.png")
    assert photo.profiled
    curve = photo.deep.ravel() / 257
    assert (np.diff(curve) >= 0).all()
    assert curve[[0, -1]].tolist() == [0, 255]
    assert curve[600] > 0  # though 8 bits have no level for it
    stored = round(gamma * 256) / 256
    assert np.abs(curve - encoded(X**stored)).max() < 0.003  # 8-bit levels: half a 16-bit one
    assert len(np.unique(photo.deep)) > 20_000
    assert np.abs(np.asarray(photo.rgb)[..., 0].ravel() - curve).max() <= 0.501


def test_a_gray_profile_that_is_srgb_in_effect_leaves_16_bits_as_they_are(tmp_path):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = Image.fromarray(deep)
    image.info["icc_profile"] = profiles.srgb()  # of RGB: it does not fit
    assert profiles.tone_curve(profiles.srgb()) is None
    image.save(tmp_path / "x.png", icc_profile=profiles.srgb())
    assert np.array_equal(images.open_photo(tmp_path / "x.png").deep, deep)


CORNERS = {  # ink, 0 or 255: ICC's 8-bit Lab of it, L * 2.55 and a, b + 128
    (0, 0, 0, 0): (255, 128, 128),
    (0, 0, 0, 255): (0, 128, 128),
    (255, 0, 0, 0): (160, 115, 105),
    (0, 255, 255, 0): (120, 165, 150),
}


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("ink", CORNERS)
def test_cmyk_goes_through_its_profile(tmp_path, ink, suffix):
    corners = np.full((2, 2, 2, 2, 3), (0, 128, 128), np.uint8)
    for place, lab in CORNERS.items():
        corners[tuple(np.array(place) // 255)] = lab
    image = Image.new("CMYK", (16, 16), ink)
    path = tmp_path / f"x{suffix}"
    image.save(path, icc_profile=cmyk_profile(corners))
    level, a, b = CORNERS[ink]
    expected = srgb_of_lab((level / 2.55, a - 128, b - 128))
    assert np.abs(images.read(path)[8, 8] - expected).max() < 2.5


def test_the_profile_of_srgb_is_small_and_always_the_same():
    assert len(profiles.srgb()) < 1000
    profiles.srgb.cache_clear()
    assert profiles.srgb()[24:36] == b"\x07\xd0\0\1\0\1\0\0\0\0\0\0"


def test_a_profile_is_looked_into_once(photos, monkeypatch):
    image = image_with(photos["rocket"][:20], rgb_profile(P3, 2.0))
    images.to_rgb(image)
    built = []
    monkeypatch.setattr(ImageCms, "buildTransform", lambda *args, **_: built.append(args))
    images.to_rgb(image)
    assert not built
