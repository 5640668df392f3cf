"""cic.photos.tiff_writer: pages in any compression, as other readers find them."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from cic.photos import tiff_writer
from cic.photos.tiff_writer import TiffWriter

RGB = (700, 300, 3)


def picture(dtype, shape=RGB):
    random = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * [40, 50, 60]
    values = (ramp + random.integers(0, 3000, shape)) % 65536
    return (values if dtype == np.uint16 else values >> 8).astype(dtype)


def written(*pages):
    file = io.BytesIO()
    writer = TiffWriter(file)
    for array, options in pages:
        writer.add(array.shape, array.dtype, [array[:100], array[100:]], **options)
    file.seek(0)
    return file


COMPRESSIONS = ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_come_back(dtype, compression, alpha):
    array = picture(dtype)
    mask = Image.fromarray(picture(np.uint8)[..., 0].copy()) if alpha else None
    file = written((array, {"compression": compression, "alpha": mask}))
    expected = array if dtype == np.uint8 else array >> 8
    with Image.open(file) as image:
        assert image.info["compression"] == compression
        found = np.asarray(image)
    assert np.array_equal(found[..., :3], expected)
    if alpha:
        assert np.array_equal(found[..., 3], mask)
    if compression in ("raw", "tiff_adobe_deflate"):  # what tifffile alone reads
        file.seek(0)
        found = tifffile.imread(file)
        assert np.array_equal(found[..., :3], array)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (7, 5), (8, 90_000)])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_any_size(size, compression):
    array = np.full((*size, 3), 77, np.uint8)
    array[:, : size[1] // 2] = 60
    file = io.BytesIO()
    TiffWriter(file).add(array.shape, np.uint8, [array], compression=compression)
    with Image.open(file) as image:
        off = np.abs(np.asarray(image).astype(int) - array)
    assert off.max() <= (20 if compression == "jpeg" and size[1] < 65_500 else 0)


def test_jpeg_strips_look_like_the_picture(photos):
    photo = np.ascontiguousarray(photos["coffee"])
    file = io.BytesIO()
    TiffWriter(file).add(photo.shape, np.uint8, [photo[:123], photo[123:]], compression="jpeg")
    with Image.open(file) as image:
        assert image.tag_v2[259] == 7
        assert len(image.tag_v2[273]) > 1
        assert np.abs(np.asarray(image).astype(int) - photo).mean() < 2


def test_what_a_compression_cannot_hold_is_deflated():
    for what in (("jpeg", True, False), ("jpeg", False, True), ("group4", False, False)):
        assert tiff_writer._possible(*what) == "tiff_adobe_deflate"
    assert tiff_writer._possible("jpeg", False, False) == "jpeg"
    assert tiff_writer._possible(None, False, False) == "raw"


def test_pages_of_all_kinds_follow_each_other():
    kinds = [(np.uint8, "raw"), (np.uint16, "tiff_lzw"), (np.uint8, "jpeg"), (np.uint16, "raw")]
    arrays = [picture(dtype, (100 + n, 30 + n, 3)) for n, (dtype, _) in enumerate(kinds)]
    file = written(*((array, {"compression": kind}) for array, (_, kind) in zip(arrays, kinds)))
    with Image.open(file) as image:
        assert image.n_frames == 4
        for number, (array, (_, kind)) in enumerate(zip(arrays, kinds)):
            image.seek(number)
            assert image.size == array.shape[1::-1]
            assert image.info["compression"] == kind
            if kind != "jpeg":
                expected = array if array.dtype == np.uint8 else array >> 8
                assert np.array_equal(np.asarray(image), expected)


def test_more_than_a_tiff_has_room_for_is_an_error(monkeypatch):
    monkeypatch.setattr(tiff_writer, "_LARGEST", 50_000)
    with pytest.raises(ValueError, match="room for 4 GB"):
        written((picture(np.uint8), {}))
