import io
from functools import partial

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cic.dataset import validity

QUALITIES = 50, 75, 95


def encoded(rgb, quality=None, **options):
    """A file of a picture: JPEG of a quality with 4:2:0 chroma, or PNG; a source for `examine`."""
    content = io.BytesIO()
    image = rgb if isinstance(rgb, Image.Image) else Image.fromarray(to_bytes(rgb))
    if quality:
        options = {"quality": quality, "subsampling": 2, **options}
    image.save(content, "JPEG" if quality else "PNG", **options)
    return Source(content.getvalue())


class Source:
    def __init__(self, content):
        self.content = content

    def open(self):
        return io.BytesIO(self.content)


def to_bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def to_gray(rgb):
    return np.repeat((rgb @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)


def toned(rgb, dark, light):
    """Gray from black to white as the colours from `dark` to `light`."""
    return dark + (np.array(light) - dark) * to_gray(rgb) / 255


def kind(source, **options):
    finding = validity.examine(source, **options)
    return finding and finding.kind


@pytest.fixture(params=["astronaut", "chelsea", "coffee", "rocket"])
def photo(request, photos):
    return photos[request.param]


@pytest.mark.parametrize("quality", [*QUALITIES, None])
@pytest.mark.parametrize("saturation", [1, 0.5])
def test_a_photo_in_colour_is_valid(photo, quality, saturation):
    gray = to_gray(photo)
    assert validity.examine(encoded(gray + saturation * (photo - gray), quality)) is None


@pytest.mark.parametrize("size", [(64, 64), (257, 340), (1500, 1100)])
def test_a_photo_in_colour_is_valid_at_any_size(photo, size):
    assert validity.examine(encoded(Image.fromarray(photo).resize(size), 75)) is None


@pytest.mark.parametrize("quality", [*QUALITIES, None])
def test_equal_channels_are_gray(photo, quality):
    finding = validity.examine(encoded(to_gray(photo), quality))
    assert finding[:2] == ("gray", 0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_noise_and_paper_do_not_hide_a_gray_scan(photo, quality):
    random = np.random.default_rng(0)
    noisy = to_gray(photo) + random.normal(0, 4, photo.shape)
    assert kind(encoded(noisy, quality)) == "gray"
    paper = to_gray(photo) * [0.995, 1, 0.98] + random.normal(0, 2, photo.shape)
    assert kind(encoded(paper, quality)) == "gray"


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_red_stamp_on_a_gray_photo_is_colour(photo, quality):
    stamped = to_gray(photo)
    side = round((0.01 * stamped[..., 0].size) ** 0.5)  # 1 % of the area
    stamped[40 : 40 + side, 60 : 60 + side] *= [1, 0.3, 0.3]
    stamped[40 : 40 + side, 60 : 60 + side] += [60, 0, 0]
    assert validity.examine(encoded(stamped, quality)) is None


def clipped_sepia(rgb):
    return to_gray(rgb) * [1.351, 1.203, 0.937]


TONES = {
    "clipped sepia": clipped_sepia,
    "sepia": partial(toned, dark=(40, 26, 13), light=(238, 213, 177)),
    "cyanotype": partial(toned, dark=(10, 30, 70), light=(240, 245, 235)),
    "strong cyanotype": partial(toned, dark=(0, 30, 85), light=(200, 230, 255)),
    "old paper": partial(toned, dark=(30, 25, 20), light=(235, 220, 190)),
}


@pytest.mark.parametrize("quality", [*QUALITIES, None])
@pytest.mark.parametrize("tone", TONES)
def test_a_toned_gray_photo_has_a_single_hue(photo, tone, quality):
    finding = validity.examine(encoded(TONES[tone](photo), quality))
    assert finding.kind == "single hue"
    assert 0 < finding.value < 0.95


@pytest.mark.parametrize("size", [(85, 64), (128, 96), (1500, 1100)])
def test_a_toned_gray_photo_has_a_single_hue_at_any_size(photo, size):
    scaled = np.asarray(Image.fromarray(photo).resize(size))
    assert kind(encoded(TONES["cyanotype"](scaled), 75)) == "single hue"


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_noise_does_not_hide_a_tone(photos, name, quality):
    noise = np.random.default_rng(0).normal(0, 4, photos[name].shape)
    assert kind(encoded(TONES["sepia"](photos[name]) + noise, quality)) == "single hue"


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_a_faint_tone_is_a_single_hue_too(photos, name, quality):
    faint = toned(photos[name], (0, 0, 0), (255, 246, 230))
    assert kind(encoded(faint, quality)) == "single hue"


@pytest.mark.parametrize("quality", [75, 95])
def test_a_small_coloured_thing_in_a_sepia_photo_is_colour(photo, quality):
    sepia = TONES["sepia"](photo)
    side = round((0.02 * sepia[..., 0].size) ** 0.5)  # 2 % of the area
    thing = slice(150, 150 + side), slice(200, 200 + side)
    sepia[thing] = to_gray(photo)[thing] * [0.3, 0.6, 1] + [0, 10, 40]
    assert validity.examine(encoded(sepia, quality)) is None


def test_one_coloured_thing_in_a_sepia_photo_is_colour(photo):
    sepia = TONES["sepia"](photo)
    height, width = sepia.shape[:2]
    sepia[: height // 3, : width // 3] = photo[: height // 3, : width // 3] * [0.3, 0.6, 1]
    assert validity.examine(encoded(sepia, 90)) is None


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_gray_modes(photos, mode):
    gray = Image.fromarray(photos["chelsea"]).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gray).astype(np.uint16) << 8)
    else:
        image = gray.convert(mode)
    finding = validity.examine(encoded(image))
    assert finding[:2] == ("gray mode", 0)
    assert mode in finding.reason


def test_a_gray_palette_is_gray_and_a_colour_palette_is_not(photos):
    image = Image.fromarray(photos["coffee"])
    assert kind(encoded(image.convert("L").convert("P"))) == "gray"
    assert kind(encoded(image.quantize(64))) is None


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_a_photo_that_is_cut_off_is_found(photos, mode, progressive, kept):
    image = Image.fromarray(photos["astronaut"]).convert(mode)
    source = encoded(image, 90, progressive=progressive)
    source.content = source.content[: int(kept * len(source.content))]
    assert kind(source) == "truncated"
    assert kind(source, min_size=10_000) == "truncated"


def test_a_png_that_is_cut_off_or_no_photo_at_all(photos):
    source = encoded(photos["rocket"])
    source.content = source.content[: len(source.content) // 2]
    assert kind(source) == "truncated"
    assert kind(Source(b"")) == "damaged"
    assert kind(Source(b"<html>404</html>")) == "damaged"


def test_what_cannot_be_judged_is_refused(tmp_path):
    finding = validity.examine(tmp_path / "nowhere.jpg")
    assert finding.kind == "refused"
    assert "nowhere.jpg" in finding.reason


def test_too_small(photos):
    source = encoded(photos["chelsea"][:31, :50])
    assert validity.examine(source)[:2] == ("too small", 31)
    assert kind(source, min_size=31) is None
    for size in ((1, 1), (1, 200), (3, 5)):
        assert kind(encoded(np.full((*size, 3), 9))) == "too small"
        assert kind(encoded(np.full((*size, 3), 9)), min_size=0) == "gray"


def test_a_jpeg_is_not_decoded_in_full_but_judged_the_same(photos):
    for name, photo in {**photos, "gray": to_gray(data.astronaut())}.items():
        with Image.open(encoded(photo, 95).open()) as image:
            rgb = validity.block_means(image)
            assert max(image.size) < max(photo.shape) / 3, name
        pixels = Image.open(encoded(photo, 95).open()).convert("RGB")
        full = validity.block_means(pixels)
        assert (validity.judge(rgb) is None) == (validity.judge(full) is None), name
