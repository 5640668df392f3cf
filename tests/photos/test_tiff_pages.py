"""cic.photos.tiff_pages: which page of a TIFF is the photo, and which are its copies."""

import io
import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from cic.colorize.batch import Pictures
from cic.colorize.painting import Painting
from cic.colorize.work import colorize_files
from cic.dataset import validity
from cic.photos import images, tiff_pages
from cic.photos.damage import Unsupported

SMALL = np.full((16, 20), 9, np.uint8)


@pytest.fixture
def gray(photo):
    return np.ascontiguousarray(photo[..., 1])


def written(path, pages, **options):
    """A TIFF of (array, NewSubfileType or None, more options) pages."""
    with tifffile.TiffWriter(path, **options) as file:
        for array, subfile, more in pages:
            file.write(array, subfiletype=subfile, metadata=None, contiguous=False, **more)
    if any(subfile is None for _, subfile, _ in pages):  # tifffile always writes it
        data = path.read_bytes()
        for order in "<>":
            field, other = (struct.pack(f"{order}HHII", tag, 4, 1, 0) for tag in (254, 65000))
            data = data.replace(field, other)
        path.write_bytes(data)


def read(path):
    with open(path, "rb") as file:
        return tiff_pages.read(file)


# Pillow reads no BigTIFF of big-endian numbers.
@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<")])
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("subfiles", [(1, 0), (None, None)])
def test_a_thumbnail_that_comes_first_is_not_the_photo(
    tmp_path, gray, big, order, compression, subfiles
):
    pages = [(SMALL, subfiles[0], {}), (gray, subfiles[1], {"compression": compression})]
    written(tmp_path / "x.tif", pages, bigtiff=big, byteorder=order)
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.array_equal(np.asarray(photo.rgb)[..., 0], gray)
    assert np.array_equal(images.read(tmp_path / "x.tif")[..., 0], gray)
    flagged = subfiles[0] == 1
    assert (photo.pages, photo.page) == ((1, 0) if flagged else (2, 1))
    finding = validity.examine(tmp_path / "x.tif")  # not "too small"
    assert finding.kind == validity.GRAY_MODE


@pytest.mark.parametrize(
    ("subfiles", "document", "chosen"),
    [
        ((0, 1), [0], 0),
        ((1, 0, 0), [1, 2], 0),
        ((2, 2, 2), [0, 1, 2], 0),  # pages of a document
        ((3, 2), [1], 0),
        ((1, 1), [0, 1], 1),  # nonsense: none is whole; the second is larger
    ],
)
def test_pages_say_what_they_are(tmp_path, gray, subfiles, document, chosen):
    sizes = [SMALL, gray, gray[:30]]
    pages = [(array, subfile, {}) for array, subfile in zip(sizes, subfiles)]
    written(tmp_path / "x.tif", pages)
    found = read(tmp_path / "x.tif")
    assert [page.number for page in tiff_pages.whole(found)] == document
    assert tiff_pages.photo_page(found) == chosen


def test_a_mask_is_no_page():
    pages = [tiff_pages.Page(number, 9, 9, subfile, 0) for number, subfile in enumerate((0, 4, 5))]
    assert tiff_pages.whole(pages) == pages[:1]


def test_the_old_name_of_a_thumbnail_counts_too(tmp_path, gray):
    written(
        tmp_path / "x.tif", [(SMALL, None, {"extratags": [(255, 3, 1, 2, True)]}), (gray, 0, {})]
    )
    photo = images.open_photo(tmp_path / "x.tif")
    assert (photo.pages, photo.rgb.size) == (1, gray.shape[::-1])


def test_of_pages_that_say_nothing_the_largest_is_taken_the_first_of_equals(tmp_path, gray):
    other = gray[::-1].copy()
    written(tmp_path / "x.tif", [(array, None, {}) for array in (SMALL, gray, other, SMALL)])
    photo = images.open_photo(tmp_path / "x.tif")
    assert (photo.pages, photo.page) == (4, 1)
    assert np.array_equal(np.asarray(photo.rgb)[..., 0], gray)
    for number, array in enumerate((SMALL, gray, other, SMALL)):
        page = images.open_photo(tmp_path / "x.tif", page=number)
        assert np.array_equal(np.asarray(page.rgb)[..., 0], array)


@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<")])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_the_photo_inside_of_its_thumbnails_page(tmp_path, gray, order, compression, big):
    with tifffile.TiffWriter(tmp_path / "x.tif", byteorder=order, bigtiff=big) as file:
        file.write(SMALL, subifds=1, subfiletype=1, metadata=None)
        file.write(gray, subfiletype=0, compression=compression, metadata=None)
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.array_equal(np.asarray(photo.rgb)[..., 0], gray)
    assert photo.pages == 1


def test_a_pyramid_is_one_photo(tmp_path, gray):
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(gray, subifds=2, metadata=None)
        file.write(gray[::2, ::2], subfiletype=1, metadata=None)
        file.write(gray[::4, ::4], subfiletype=1, metadata=None)
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.array_equal(np.asarray(photo.rgb)[..., 0], gray)
    assert photo.pages == 1


@pytest.mark.parametrize(
    "tag", [(50706, 1, 4, (1, 4, 0, 0), True), (262, 3, 1, 32803, True), (262, 3, 1, 34892, True)]
)
def test_a_raw_is_refused_and_not_its_thumbnail_coloured(tmp_path, gray, tag):
    extra = [tag] if tag[0] != 262 else []
    written(tmp_path / "x.tif", [(SMALL, 1, {}), (gray, 0, {"extratags": extra})])
    if not extra:
        data = (tmp_path / "x.tif").read_bytes()
        black = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
        at = data.rindex(black)
        raw = struct.pack("<HHIHH", 262, 3, 1, tag[3], 0)
        (tmp_path / "x.tif").write_bytes(data[:at] + raw + data[at + 12 :])
    with pytest.raises(images.PhotoError, match="a RAW photo: develop it") as caught:
        images.open_photo(tmp_path / "x.tif")
    assert caught.value.kind == "refused"


def directory(at, following, tags=((256, 4), (257, 4))):
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<H", len(tags)) + table + struct.pack("<I", following)


def test_a_chain_that_leads_back_ends():
    data = b"II*\0" + struct.pack("<I", 8) + directory(8, 38) + directory(38, 8)
    assert [page.number for page in tiff_pages.read(io.BytesIO(data))] == [0, 1]


def test_a_chain_of_a_hundred_thousand_pages_is_cut(tmp_path):
    size = len(directory(0, 0))
    data = b"II*\0" + struct.pack("<I", 8)
    data += b"".join(directory(0, 8 + size * (n + 1)) for n in range(100_000))
    start = time.process_time()
    assert len(tiff_pages.read(io.BytesIO(data))) == tiff_pages.MOST_PAGES
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(images.PhotoError):
        images.read(tmp_path / "x.tif")
    assert time.process_time() - start < 5


def test_absurd_numbers_of_fields_are_refused():
    body = struct.pack("<H", 60_000) + bytes(12 * 60_000)
    offsets = [8 + n * (len(body) + 4) for n in range(6)]
    data = b"II*\0" + struct.pack("<I", 8)
    data += b"".join(body + struct.pack("<I", at) for at in offsets[1:])
    with pytest.raises(Unsupported, match="more than 200,000 fields"):
        tiff_pages.read(io.BytesIO(data))


@pytest.mark.parametrize("length", [0, 4, 8, 12, 20, 37])
def test_every_cut_ends(length):
    data = b"II*\0" + struct.pack("<I", 8) + directory(8, 0)
    assert len(tiff_pages.read(io.BytesIO(data[:length]))) <= 1


def test_a_page_that_is_damaged_costs_no_other(tmp_path, gray, photos, capsys):
    """And the others stay one document."""
    pages = [(gray, 0, {"compression": "deflate"}), (gray, 0, {"compression": "deflate"})]
    written(tmp_path / "x.tif", [*pages, (gray[::-1].copy(), 0, {})])
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        start = file.pages[1].dataoffsets[0]
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[start : start + 40] = b"\xff" * 40
    (tmp_path / "x.tif").write_bytes(data)
    target = tmp_path / "out" / "x.tif"
    job = str(tmp_path / "x.tif"), str(target)
    done, failed = colorize_files(Gray(), [job], Pictures(all_pages=True))
    assert (done, failed) == ([job], 1)
    said = capsys.readouterr().out
    assert said.count("failed") == 1
    assert f"{job[0]!r}" in said
    assert "page 2" in said
    with tifffile.TiffFile(target) as file:
        found = [page.asarray()[..., 0] for page in file.pages]
    assert len(found) == 2
    assert np.abs(found[0].astype(int) - gray).max() <= 1
    assert np.abs(found[1].astype(int) - gray[::-1]).max() <= 1


class Gray:
    """A colorizer that leaves photos gray."""

    def painting(self, photo, hints=()):
        return Painting(photo, np.zeros((2, 2, 2), np.float32))

    def memory(self, width, height):
        return 0


def test_all_pages_are_one_file_and_what_they_carried_is_there(tmp_path, gray, capsys):
    pages = [
        (gray, 0, {"compression": "deflate", "resolution": (300, 300), "resolutionunit": 2}),
        (np.dstack([gray] * 3), 0, {"photometric": "rgb", "description": "the second"}),
        (gray.astype(np.uint16) * 257, 0, {"compression": "deflate"}),
    ]
    written(tmp_path / "x.tif", pages)
    job = str(tmp_path / "x.tif"), str(tmp_path / "out" / "x.tif")
    assert colorize_files(Gray(), [job], Pictures(all_pages=True)) == ([job], 0)
    assert capsys.readouterr().out == ""
    with tifffile.TiffFile(job[1]) as file:
        found = file.pages
        assert [page.dtype for page in found] == [np.uint8, np.uint8, np.uint16]
        assert [page.compression.name for page in found] == ["DEFLATE", "NONE", "DEFLATE"]
        for page in found:
            scale = 257 if page.dtype == np.uint16 else 1
            assert np.abs(page.asarray()[..., 1] / scale - gray).max() <= 0.5
        assert found[0].tags["XResolution"].value == (300, 1)
        assert found[1].description == "the second"


def test_one_page_says_that_there_are_more(tmp_path, gray, capsys):
    written(tmp_path / "x.tif", [(SMALL, None, {}), (gray, None, {})])
    written(tmp_path / "y.tif", [(SMALL, 1, {}), (gray, 0, {})])
    for name, line in (
        ("x.tif", "the largest, page 2, of 2 pages; all_pages takes them all"),
        ("y.tif", "1 smaller copy or mask in it left out"),
    ):
        job = str(tmp_path / name), str(tmp_path / "out" / name)
        assert colorize_files(Gray(), [job]) == ([job], 0)
        assert capsys.readouterr().out == f"{job[0]!r}: {line}\n"
        assert Image.open(job[1]).size == gray.shape[::-1]
