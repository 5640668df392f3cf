"""cic.photos.jpeg_scans: JPEGs that decode without an error though part of them is lost."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from cic.dataset import shrunk, validity
from cic.photos import images, jpeg_scans
from cic.photos.sources import PhotoList

KINDS = {
    "baseline": {},
    "4:4:4": {"subsampling": 0},
    "gray": {},
    "cmyk": {},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "progressive gray": {"progressive": True},
}


def made(photo, kind, **options):
    mode = "L" if "gray" in kind else "CMYK" if kind == "cmyk" else "RGB"
    file = io.BytesIO()
    Image.fromarray(photo).convert(mode).save(file, "JPEG", quality=90, **KINDS[kind], **options)
    return file.getvalue()


def closed(data, share):
    """The first part of a JPEG, and the mark of its end."""
    return data[: int(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9"


@pytest.fixture
def coffee(photos):
    return np.ascontiguousarray(photos["coffee"][::2, ::2])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_was_cut_and_closed_again(tmp_path, coffee, kind, share):
    path = tmp_path / "x.jpg"
    path.write_bytes(closed(made(coffee, kind), share))
    Image.open(path).load()  # Pillow says nothing
    for read in (images.read, lambda path: images.open_rgb(path, 64, thorough=True)):
        with pytest.raises(images.PhotoError, match="part of the picture is lost") as caught:
            read(path)
        assert caught.value.kind in ("truncated", "damaged")
    finding = validity.examine(path)
    assert finding.kind in (validity.TRUNCATED, validity.DAMAGED)
    photo = images.open_photo(path)
    assert photo.rgb.size == coffee.shape[1::-1]
    [note] = photo.notes
    assert note.startswith("part of the picture is lost")


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_one_has_lost_nothing(tmp_path, photos, kind):
    for name, photo in photos.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(made(photo, kind))
        assert images.open_photo(path).notes == []
        path.write_bytes(made(photo, kind) + b"a film behind it" * 100)
        assert images.read(path).shape == photo.shape


@pytest.mark.parametrize("level", [0, 127, 128, 129, 255])
@pytest.mark.parametrize("kind", [*KINDS, "optimized"])
def test_a_photo_that_ends_in_gray_has_lost_nothing(tmp_path, coffee, kind, level):
    """As what libjpeg fills in looks: only the data can tell."""
    coffee[120:] = level
    options = {"optimize": True} if kind == "optimized" else {}
    data = made(coffee, "baseline" if options else kind, **options)
    (tmp_path / "x.jpg").write_bytes(data)
    assert images.open_photo(tmp_path / "x.jpg").notes == []
    assert validity.examine(tmp_path / "x.jpg") is None or "gray" in kind


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_sector_of_zeros_takes_restart_markers_along(tmp_path, coffee, number):
    data = bytearray(made(coffee, "restarts"))
    scan = jpeg_scans.layout(bytes(data)).scans[0]
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    at = [mark for mark in marks if mark >= scan.start][number]
    data[at : at + 2] = bytes(2)
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(images.PhotoError, match="restart markers are missing"):
        images.read(tmp_path / "x.jpg")


def test_passes_and_colours_that_never_came(tmp_path, coffee):
    data = made(coffee, "progressive")
    scans = jpeg_scans.layout(data).scans
    assert len(scans) > 5
    for number in range(1, len(scans)):
        (tmp_path / "x.jpg").write_bytes(data[: scans[number - 1].end] + b"\xff\xd9")
        with pytest.raises(images.PhotoError, match="passes are missing") as caught:
            images.read(tmp_path / "x.jpg")
        assert caught.value.kind == "truncated"


def test_the_layout_is_what_libjpeg_wrote(coffee):
    found = jpeg_scans.layout(made(coffee, "restarts"))
    height, width = coffee.shape[:2]
    assert found.size == (width, height)
    assert not found.progressive
    assert found.samplings == {1: (2, 2), 2: (1, 1), 3: (1, 1)}
    [scan] = found.scans
    assert scan.colours == (1, 2, 3)
    assert scan.band == (0, 63)
    assert scan.interval == -(-width // 16)


@pytest.mark.parametrize("kind", ["baseline", "restarts", "progressive"])
def test_every_cut_ends(coffee, kind):
    data = made(coffee, kind)
    for length in range(0, len(data), 97):
        jpeg_scans.layout(data[:length])


def test_preparing_leaves_it_out_and_names_it(tmp_path, coffee):
    for share in (0.5, 1):
        data = made(coffee, "baseline")
        (tmp_path / f"{share}.jpg").write_bytes(closed(data, share) if share < 1 else data)
    photos = PhotoList([tmp_path])
    job = shrunk.Job(photos, 256, 90, None)
    lost, whole = (shrunk.make(job, i) for i in range(2))
    assert "0.5.jpg': part of the picture is lost" in lost.failure
    assert whole.failure is None
    job = shrunk.Job(photos, 4096, 90, None)  # copied as they are
    assert [made.failure is None for made in (shrunk.make(job, i) for i in range(2))] == [
        False,
        True,
    ]


@pytest.mark.parametrize("passes", [90, 91])
def test_a_jpeg_of_absurdly_many_passes_is_refused_before_it_is_decoded(tmp_path, coffee, passes):
    data = made(coffee, "progressive")
    last = data[data.rfind(b"\xff\xda") : -2]
    path = tmp_path / "x.jpg"
    path.write_bytes(data[:-2] + passes * last + b"\xff\xd9")  # to the ten that there are
    if passes == 90:
        assert images.open_photo(path).base.size == (300, 200)
    else:
        with pytest.raises(images.PhotoError, match="a JPEG of 101 passes: more than 100"):
            images.open_rgb(path)
        assert validity.examine(path).kind == validity.REFUSED


def test_a_jpeg_of_absurdly_many_segments_is_refused(tmp_path, coffee):
    data = made(coffee, "baseline")
    for count, name in ((9_000, "sound.jpg"), (10_001, "absurd.jpg")):
        (tmp_path / name).write_bytes(data[:2] + count * b"\xff\xfe\0\3." + data[2:])
    assert images.open_rgb(tmp_path / "sound.jpg").size == (300, 200)
    with pytest.raises(images.PhotoError, match=r"a JPEG of more than 10,000 segments"):
        images.open_rgb(tmp_path / "absurd.jpg")
