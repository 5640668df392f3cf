"""damage: which files are cut off, which broken, and which only of a kind that is not read."""

import os
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers.refusals import error_of, kind_of


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".gif", ".bmp", ".webp"])
def test_a_file_that_is_cut_off_is_truncated_and_one_that_is_not_is_damaged(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"x{suffix}"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert kind_of(path) == "truncated"
    if suffix != ".bmp":  # in which any byte is a pixel's
        middle = bytes(1000) if suffix != ".gif" else b"\xff" * 1000
        start = 20 if suffix in (".jpg", ".png", ".webp") else 4
        path.write_bytes(whole[:start] + middle + whole[start + 1000 :])
        assert kind_of(path) == ("refused" if suffix == ".tif" else "damaged")  # of many kinds


def jpeg_of(frame):
    """A JPEG with tables, a comment and a frame header (ITU T.81, B.2.2), but no pixels."""
    segments = b"\xff\xfe\0\6cats", frame, b"\xff\xda\0\2"
    return b"\xff\xd8" + b"".join(segments) + bytes(500) + b"\xff\xd9"


def frame_of(kind, bits, colours=1):
    head = struct.pack(">BBHBHHB", 0xFF, kind, 8 + 3 * colours, bits, 8, 8, colours)
    return head + b"\1\x11\0" * colours


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(jpeg_of(frame_of(0xC1, 12)), id="12 bits"),
        pytest.param(jpeg_of(frame_of(0xC3, 8)), id="lossless"),
        pytest.param(jpeg_of(frame_of(0xC0, 8, 2)), id="two colours"),
        pytest.param(b"\0\0\0\x18ftypisom", id="video"),
        pytest.param(b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 16, 3), id="PSD"),
        pytest.param(
            b"BM" + struct.pack("<IIIIiiHHI", 600, 0, 54, 40, 9, 9, 1, 24, 4), id="BMP with a JPEG"
        ),
        pytest.param(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 0), id="BigTIFF"),
    ],
)
def test_a_kind_of_photo_that_pillow_does_not_know_is_not_damaged(tmp_path, start):
    (tmp_path / "x.jpg").write_bytes(start if b"cats" in start else start.ljust(600, b"\0"))
    assert kind_of(tmp_path / "x.jpg") == "refused"
    assert "of a kind that Pillow cannot read" in error_of(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\0\0\0\x18ftypcrx ", "RAW: develop them"),
        (b"II*\0\x10\0\0\0CR\2\0", "RAW: develop them"),
        (b"%PDF-1.7\n", "PDF: take their pictures out first"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript: make pictures"),
        (b"\xff\n", "a JPEG XL photo: pip install pillow-jxl-plugin"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo: pip install pillow-jxl-plugin"),
    ],
)
def test_what_is_read_by_others_is_refused_with_what_to_do(tmp_path, start, what):
    (tmp_path / "x.jpg").write_bytes(start.ljust(600, b"\0"))
    assert kind_of(tmp_path / "x.jpg") == "refused"
    assert what in error_of(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    "data",
    [
        jpeg_of(b""),
        jpeg_of(b"\xff\xe1\0\0"),
        jpeg_of(frame_of(0xC0, 8)),
        b"\x89PNG\r\n\x1a\n" + bytes(60) + b"IEND",
        b"GIF89a" + bytes(60) + b";",
        b"RIFF\x40\0\0\0WEBP" + bytes(60),
        b"cats " * 20,
    ],
)
def test_a_header_broken_in_a_format_that_pillow_reads_whole_is_damage(tmp_path, data):
    (tmp_path / "x.jpg").write_bytes(data)
    assert kind_of(tmp_path / "x.jpg") == "damaged"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_whose_directory_is_missing_is_truncated(tmp_path, order):
    head = b"II" if order == "<" else b"MM"
    head += struct.pack(f"{order}HHHQ", 43, 8, 0, 1000)
    (tmp_path / "x.tif").write_bytes(head + bytes(900))
    assert kind_of(tmp_path / "x.tif") == "truncated"
    (tmp_path / "x.tif").write_bytes(head + bytes(1100))
    assert kind_of(tmp_path / "x.tif") == "refused"


def test_what_a_format_of_many_kinds_raises_before_there_is_an_image_is_no_damage(
    tmp_path, monkeypatch
):
    def refuse(file, name):
        raise KeyError("a new kind")

    monkeypatch.setitem(Image.OPEN, "PPM", (refuse, lambda start: start.startswith(b"P6")))
    (tmp_path / "x.ppm").write_bytes(b"P6 1 1 255 cat")
    assert kind_of(tmp_path / "x.ppm") == "refused"


def test_a_png_with_too_much_text_is_not_damaged(tmp_path, photo):
    words = PngInfo()
    words.add_text("cat", "cat " * 500_000, zip=True)
    Image.fromarray(photo).save(tmp_path / "x.png", pnginfo=words)
    assert kind_of(tmp_path / "x.png") == "refused"


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [(259, 50_002, "refused"), (259, 34_925, "refused"), (259, 5, "damaged")],  # JPEG XL, LZMA, LZW
)
def test_a_compression_that_not_all_have_is_not_damage(tmp_path, photo, tag, value, expected):
    Image.fromarray(photo).save(tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    raw = struct.pack("<HHIHH", tag, 3, 1, 1, 0)
    assert raw in data
    (tmp_path / "x.tif").write_bytes(data.replace(raw, struct.pack("<HHIHH", tag, 3, 1, value, 0)))
    assert kind_of(tmp_path / "x.tif") == expected


def test_what_cannot_be_judged_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # nobody writes to it: to open it would wait for ever
    assert kind_of(tmp_path / "pipe.jpg") == "refused"
    assert "not a regular file" in error_of(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert kind_of(tmp_path / "folder.jpg") == "refused"
    assert kind_of(tmp_path / "missing.jpg") == "refused"
    assert kind_of("nul\0.jpg") == "refused"
    assert kind_of(os.fsencode(tmp_path / "missing.jpg")) == "refused"
    (tmp_path / "text.jpg").write_text("a cat")
    assert kind_of(tmp_path / "text.jpg") == "damaged"
