"""cic.photos.png_chunks: what a PNG says of its colours, and what of its picture is lost."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cic.dataset import validity
from cic.photos import images, png_chunks, profiles
from helpers.icc import ADOBE, SRGB, encoded, matrix, rgb_profile, srgb_of

WHITE = (0.3127, 0.3290)


def places(primaries):
    return b"".join(struct.pack(">I", round(n * 1e5)) for pair in (WHITE, *primaries) for n in pair)


def with_chunks(path, array, *chunks):
    """Save an array as a PNG with (name, data) chunks before the data."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    data = file.getvalue()
    more = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(data[:33] + more + data[33:])


def gamma(value):
    return b"gAMA", struct.pack(">I", round(value * 1e5))


@pytest.mark.parametrize("value", [1.0, 0.7, 1 / 1.8, 0.3])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_gamma_is_honoured(tmp_path, photo, value, mode):
    image = Image.fromarray(photo).convert(mode)
    with_chunks(tmp_path / "x.png", photo)
    file = io.BytesIO()
    image.save(file, "PNG")
    data = file.getvalue()
    name, body = gamma(value)
    chunk = struct.pack(">I", 4) + name + body + struct.pack(">I", zlib.crc32(name + body))
    (tmp_path / "x.png").write_bytes(data[:33] + chunk + data[33:])
    expected = encoded((np.asarray(image.convert("RGB")) / 255) ** (1 / value))
    opened = images.open_photo(tmp_path / "x.png")
    assert np.abs(np.asarray(opened.rgb) - expected).max() <= 1
    assert np.array_equal(images.read(tmp_path / "x.png"), opened.rgb)
    assert (opened.alpha is not None) == (mode in ("RGBA", "LA"))
    assert (opened.icc, opened.profiled) == (profiles.srgb(), True)


@pytest.mark.parametrize("value", [1.0, 0.5])
def test_gamma_of_16_bits(tmp_path, value):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    with_chunks(tmp_path / "x.png", ramp, gamma(value))
    expected = encoded((ramp / 65535) ** (1 / value)) * 257
    assert np.abs(images.open_photo(tmp_path / "x.png").deep - expected).max() <= 1


@pytest.mark.parametrize("value", [None, 0.45455, 1 / 1.8])
def test_chromaticities_are_honoured(tmp_path, photo, value):
    chunks = [(b"cHRM", places(ADOBE)), *([gamma(value)] if value else [])]
    with_chunks(tmp_path / "x.png", photo, *chunks)
    found = np.asarray(images.open_photo(tmp_path / "x.png").rgb).astype(float)
    if value == 1 / 1.8:
        expected = srgb_of(photo, ADOBE, 1.8)
    else:  # the curve of sRGB is meant
        levels = np.arange(256) / 255
        light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        expected = encoded(light[photo] @ (np.linalg.inv(matrix(SRGB)) @ matrix(ADOBE)).T)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - photo).max() > 9


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma(0.45455)],
        [gamma(0.4348)],  # within 5 %, as libpng has it
        [gamma(0.45455), (b"cHRM", places(SRGB))],
        [(b"cHRM", places(SRGB))],
        [gamma(1.0), (b"sRGB", b"\0")],
        [(b"cHRM", places(ADOBE)), (b"sRGB", b"\1")],
        [gamma(0)],
        [gamma(400)],
        [(b"cHRM", bytes(32))],
        [(b"cHRM", b"\xff" * 32)],
        [(b"cHRM", places(((0.3, 0.3), (0.3, 0.3), (0.3, 0.3))))],
    ],
)
def test_what_means_srgb_or_nothing_changes_nothing(tmp_path, photo, chunks):
    with_chunks(tmp_path / "x.png", photo, *chunks)
    opened = images.open_photo(tmp_path / "x.png")
    assert np.array_equal(opened.rgb, photo)
    assert (opened.icc, opened.profiled) == (None, False)


def test_an_icc_profile_outranks_them(tmp_path, photo):
    profile = rgb_profile(ADOBE, 2.2)
    body = b"x\0\0" + zlib.compress(profile)
    with_chunks(tmp_path / "x.png", photo, gamma(1.0), (b"iCCP", body), (b"cHRM", places(SRGB)))
    Image.fromarray(photo).save(tmp_path / "y.png", icc_profile=profile)
    assert np.array_equal(images.read(tmp_path / "x.png"), images.read(tmp_path / "y.png"))


def test_an_image_of_pillow_has_its_gamma_too(tmp_path, photo):
    with_chunks(tmp_path / "x.png", photo, gamma(1.0))
    image = Image.open(tmp_path / "x.png")
    before = image.tobytes()
    rgb = images.to_rgb(image)
    assert np.array_equal(rgb, images.read(tmp_path / "x.png"))
    assert image.tobytes() == before
    assert np.array_equal(images.to_rgb(rgb), rgb)  # once


# What is lost


def sections(data):
    """[(name, start, end), ...] of a PNG's chunks."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], at, at + 12 + length))
        at += 12 + length
    return found


def half_zeros(data):
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def without_end(data):
    return data[: sections(data)[-1][1]]


def wrong_checksum(data):
    _, _, end = next(part for part in sections(data) if part[0] == b"IDAT")
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


def stored(path, array):
    """A PNG whose data are one block that is not compressed."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 0)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return png_chunks.SIGNATURE + b"".join(chunks)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [(without_end, "truncated"), (wrong_checksum, "damaged")],
)
@pytest.mark.parametrize("large", [False, True])
def test_a_picture_of_which_part_is_lost_is_found(tmp_path, photos, harm, kind, large):
    array = np.ascontiguousarray(photos["coffee"] if large else photos["coffee"][::8, ::8])
    path = tmp_path / "x.png"
    path.write_bytes(harm(stored(path, array)))
    Image.open(path).load()  # Pillow says nothing
    with pytest.raises(images.PhotoError, match="part of the picture") as caught:
        images.read(path)
    assert caught.value.kind == kind
    assert validity.examine(path).kind == kind
    photo = images.open_photo(path)
    assert photo.rgb.size == array.shape[1::-1]
    assert len(photo.notes) == 1
    assert "lost" in photo.notes[0]


def test_a_half_of_zeros_is_found(tmp_path, photos):
    """Often the zeros inflate to something, and nothing is said."""
    path, silent = tmp_path / "x.png", 0
    for side in range(40, 100, 4):
        Image.fromarray(np.ascontiguousarray(photos["coffee"][:side, :side])).save(path)
        path.write_bytes(half_zeros(path.read_bytes()))
        assert validity.examine(path).kind in (validity.DAMAGED, validity.TRUNCATED)
        try:
            Image.open(path).load()
        except (OSError, SyntaxError):
            continue
        silent += 1
        assert "a checksum is wrong" in images.open_photo(path).notes[0]
    assert silent


def test_a_whole_one_has_lost_nothing(tmp_path, photo):
    for options in ({}, {"compress_level": 0}, {"dpi": (3, 3)}):
        Image.fromarray(photo).save(tmp_path / "x.png", **options)
        assert images.open_photo(tmp_path / "x.png").notes == []
    other = Image.fromarray(photo[::-1])
    Image.fromarray(photo).save(tmp_path / "x.png", save_all=True, append_images=[other])
    assert images.open_photo(tmp_path / "x.png", page=1).notes == []
    with open(tmp_path / "x.png", "ab") as file:
        file.write(b"something behind it")
    assert images.open_photo(tmp_path / "x.png").notes == []


def test_a_wrong_checksum_of_words_costs_the_words_alone(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    words = struct.pack(">I", 11) + b"tEXtTitle\0a cat" + bytes(4)
    (tmp_path / "x.png").write_bytes(data[:-12] + words + data[-12:])
    photo = images.open_photo(tmp_path / "x.png")
    assert photo.notes == []
    assert photo.carried.words == ()


def test_words_of_every_kind_are_understood():
    chunks = [
        (b"tEXt", b"Author\0M\xfcller"),
        (b"zTXt", b"Title\0\0" + zlib.compress(b"caf\xe9")),
        (b"iTXt", b"Description\0\0\0de\0Beschreibung\0" + "猫".encode()),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"packed")),
        (b"zTXt", b"Broken\0\0nothing"),
        (b"iTXt", b"Short\0\0"),
        (b"sRGB", b"\0"),
    ]
    assert png_chunks.sentences(chunks) == [
        ("Author", "Müller"),
        ("Title", "café"),
        ("Description", "猫"),
        ("Comment", "packed"),
        ("Short", ""),
    ]


def test_a_png_of_absurdly_many_chunks_is_refused_and_no_more_words_kept_than_a_thousand(
    tmp_path, photo
):
    words = [(b"tEXt", b"Title\0a cat")] * 1200
    with_chunks(tmp_path / "x.png", photo, *words)
    opened = images.open_photo(tmp_path / "x.png")
    assert len(opened.carried.words) == 1000
    with_chunks(tmp_path / "y.png", photo, *[(b"teSt", b"")] * 100_000)
    with pytest.raises(images.PhotoError, match=r"y\.png': a PNG of more than 100,000 chunks"):
        images.open_photo(tmp_path / "y.png")
