"""cic.photos.carried: what a result keeps of what its photo's file carried, in each format."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from cic.colorize.jobs import KEPT
from cic.colorize.painting import Painting
from cic.colorize.work import colorize_files
from cic.colour.lab import lightness
from cic.photos import carried, images, profiles
from helpers.icc import ADOBE, gray_profile, rgb_profile

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:Description dc:title="Grandmother" tiff:Orientation="ORIENTATION" '
    b'exif:PixelXDimension="91">'
    b"<exif:ColorSpace>65535</exif:ColorSpace><photoshop:ICCProfile>Adobe RGB (1998)"
    b"</photoshop:ICCProfile><exif:PixelYDimension>60</exif:PixelYDimension>"
    b"<xmp:Thumbnails><rdf:Alt>/9j/4AAQ</rdf:Alt></xmp:Thumbnails>"
    b"</rdf:Description></x:xmpmeta><?xpacket end='w'?>"
)
IPTC = b"\x1c\x02\x00\x00\x02\x00\x02\x1c\x02\x69\x00\x0bGrandmother"
EXIF, GPS = 0x8769, 0x8825
TEXT = [(b"tEXt", b"Title\0Grandmother 1931"), (b"tEXt", b"Author\0me")]
TEXT += [(b"zTXt", b"Copyright\0\0" + zlib.compress(b"ours"))]
TEXT += [(b"iTXt", b"Description\0\0\0de\0Beschreibung\0" + "ü 猫".encode())]


def xmp(orientation):
    return XMP.replace(b"ORIENTATION", str(orientation).encode())


class Gray:
    """A colorizer that leaves photos gray."""

    def painting(self, photo, hints=()):
        return Painting(photo, np.zeros((2, 2, 2), np.float32))

    def memory(self, width, height):
        return 0


def exif(orientation=1):
    block = Image.Exif()
    block[0x010E], block[0x013B], block[0x0112] = "a cat", "me", orientation
    block[EXIF] = {0x9003: "2020:01:02 03:04:05", 0x829A: 0.01}
    block[GPS] = {1: "N", 2: (48.0, 12.0, 1.5)}
    return block


def jpeg(path, image, orientation):
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    thumbnail = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"old!"
    data = b"Photoshop 3.0\0" + thumbnail + block
    extra = b"\xff\xed" + struct.pack(">H", len(data) + 2) + data
    data = b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)
    extra += b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    extra += b"\xff\xfe" + struct.pack(">H", 2 + 11) + b"second word"
    image.save(
        *(path, "JPEG"),
        exif=exif(orientation).tobytes(),
        dpi=(300, 150),
        comment=b"first word",
        extra=extra,
        icc_profile=rgb_profile(ADOBE, 2.2),
        quality=95,
    )


def png(path, image, orientation):
    info = PngInfo()
    for name, data in TEXT:
        info.add(name, data)
    info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(orientation))
    image.putalpha(200)
    image.save(
        *(path, "PNG"),
        exif=exif(orientation).tobytes(),
        dpi=(300, 150),
        pnginfo=info,
        icc_profile=rgb_profile(ADOBE, 2.2),
    )


def tiff(path, image, orientation):
    block = exif(orientation)
    del block[EXIF], block[GPS]
    image.putalpha(200)
    image.save(
        *(path, "TIFF"),
        tiffinfo={**dict(block), 700: xmp(orientation), 33723: IPTC},
        compression="tiff_lzw",
        dpi=(300, 150),
        icc_profile=rgb_profile(ADOBE, 2.2),
    )


def webp(path, image, orientation):
    image.putalpha(200)
    block = exif(orientation)
    block[0x011A], block[0x011B], block[0x0128] = 300.0, 150.0, 2
    image.save(
        *(path, "WEBP"),
        exif=block.tobytes(),
        xmp=xmp(orientation),
        lossless=True,
        icc_profile=rgb_profile(ADOBE, 2.2),
    )


def avif(path, image, orientation):
    image.putalpha(200)
    block = exif(orientation)
    block[0x011A], block[0x011B], block[0x0128] = 300.0, 150.0, 2
    image.save(
        *(path, "AVIF"),
        exif=block.tobytes(),
        xmp=xmp(orientation),
        icc_profile=rgb_profile(ADOBE, 2.2),
    )


def bmp(path, image, orientation):
    image.save(path, "BMP", dpi=(300, 300))


MAKERS = {".jpg": jpeg, ".png": png, ".tif": tiff, ".webp": webp, ".avif": avif, ".bmp": bmp}


def found_in(path):
    """{what: value} of all that a file carries, as far as Pillow and the bytes themselves show."""
    image = Image.open(path)
    image.load()
    data = path.read_bytes()
    words = image.getexif()
    camera, place = words.get_ifd(EXIF), words.get_ifd(GPS)
    found = {
        "exif": (words.get(0x010E), words.get(0x013B)),
        "dpi": image.info.get("dpi") or (words.get(0x011A), words.get(0x011B)),
        "icc": image.info.get("icc_profile"),
        "xmp": b'dc:title="Grandmother"' in data,
        "iptc": IPTC in data,
        "comments": b"first word" in data and b"second word" in data,
        "words": all(chunk in data for _, chunk in TEXT),
        "alpha": image.getchannel("A").getextrema() if "A" in image.getbands() else None,
    }
    if camera:
        found["exif"] += (camera[0x9003], float(place[2][2]))
    return found


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", MAKERS)
def test_each_format_keeps_what_the_table_says(tmp_path, photo, suffix, orientation, capsys):
    source, target = tmp_path / f"x{suffix}", tmp_path / "out" / f"x{suffix}"
    MAKERS[suffix](source, Image.fromarray(photo), orientation)
    assert colorize_files(Gray(), [(str(source), str(target))]) == ([(str(source), str(target))], 0)
    assert capsys.readouterr().out == ""
    before, after, room = found_in(source), found_in(target), carried.ROOM[suffix]
    turned = orientation == 6 and suffix != ".bmp"
    for what in ("xmp", "iptc", "comments", "words"):
        assert before[what] == after[what] == (what in room and bool(before[what])), what
    carries = {what for what, value in before.items() if value} - {"exif"}
    assert carries >= set(room) - {"exif", "comments"} - ({"icc"} if suffix == ".bmp" else set())
    assert after["exif"] == before["exif"]
    dpi = [float(n) for n in before["dpi"]]
    assert [float(n) for n in after["dpi"]] == pytest.approx(dpi[::-1] if turned else dpi, abs=0.1)
    assert after["icc"] == (profiles.srgb() if "icc" in room else None)
    assert after["alpha"] == before["alpha"] == ((200, 200) if "alpha" in room else None)
    assert Image.open(target).size == ((60, 91) if turned else (91, 60))


def test_every_format_that_is_kept_is_in_the_table():
    assert set(carried.ROOM) - {".avif"} == KEPT


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_xmp_says_what_is_true_of_the_result(tmp_path, photo, suffix):
    MAKERS[suffix](tmp_path / f"x{suffix}", Image.fromarray(photo), 6)
    opened = images.open_photo(tmp_path / f"x{suffix}")
    images.write(tmp_path / f"y{suffix}", np.asarray(opened.rgb), opened)
    data = (tmp_path / f"y{suffix}").read_bytes()
    for words in (
        *(b'tiff:Orientation="1"', b'exif:PixelXDimension="60"', b"<exif:ColorSpace>1<"),
        *(b"<photoshop:ICCProfile>sRGB IEC61966-2.1<", b"<exif:PixelYDimension>91<"),
    ):
        assert words in data
    assert b"Thumbnails" not in data
    assert np.array_equal(images.read(tmp_path / f"y{suffix}").shape, (91, 60, 3))  # turned once
    assert b"old!" not in data


@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("target", MAKERS)
def test_another_format_takes_what_it_has_room_for(tmp_path, photo, source, target):
    MAKERS[source](tmp_path / f"x{source}", Image.fromarray(photo), 1)
    opened = images.open_photo(tmp_path / f"x{source}")
    images.write(tmp_path / f"y{target}", np.asarray(opened.rgb), opened)
    before, after = found_in(tmp_path / f"x{source}"), found_in(tmp_path / f"y{target}")
    room = carried.ROOM[target]
    for what in ("xmp", "iptc", "comments"):
        assert after[what] == (before[what] and what in room), what
    if "exif" in room:
        assert after["exif"] == before["exif"]


def test_words_of_a_png_become_comments_of_a_jpeg(tmp_path, photo):
    png(tmp_path / "x.png", Image.fromarray(photo), 1)
    opened = images.open_photo(tmp_path / "x.png")
    images.write(tmp_path / "y.jpg", np.asarray(opened.rgb), opened)
    comments = images.open_photo(tmp_path / "y.jpg").carried.comments
    assert b"Title: Grandmother 1931" in comments
    assert "Description: ü 猫".encode() in comments


def test_a_comment_of_a_gif_stays(tmp_path, photo, capsys):
    Image.fromarray(photo).save(tmp_path / "x.gif", comment=b"a cat")
    job = str(tmp_path / "x.gif"), str(tmp_path / "x.png")
    assert colorize_files(Gray(), [job])[1] == 0
    assert Image.open(job[1]).text["Comment"] == "a cat"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_16_bit_results_keep_the_same(tmp_path, photo, dtype):
    for suffix in (".png", ".tif"):
        MAKERS[suffix](tmp_path / f"x{suffix}", Image.fromarray(photo), 1)
        opened = images.open_photo(tmp_path / f"x{suffix}")
        images.write(tmp_path / f"y{suffix}", np.asarray(opened.rgb).astype(dtype), opened)
        before, after = found_in(tmp_path / f"x{suffix}"), found_in(tmp_path / f"y{suffix}")
        for what in ("exif", "xmp", "iptc", "words"):
            assert after[what] == before[what], what


@pytest.mark.parametrize(
    ("compression", "expected"),
    [
        (None, 1),
        ("tiff_lzw", 5),
        ("packbits", 32773),
        ("tiff_adobe_deflate", 8),
        ("tiff_deflate", 8),
        ("jpeg", 7),
        ("group4", 8),
        ("zstd", 50000),
        ("lzma", 34925),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16"])
def test_the_compression_of_a_tiff_stays(tmp_path, photo, compression, expected, mode):
    image = Image.fromarray(photo).convert(mode if mode != "I;16" else "L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    try:
        image.save(tmp_path / "x.tif", compression=compression)
    except (OSError, RuntimeError, ValueError):
        pytest.skip("there are no such TIFF files")
    job = str(tmp_path / "x.tif"), str(tmp_path / "out" / "x.tif")
    assert colorize_files(Gray(), [job]) == ([job], 0)
    with Image.open(job[1]) as result:
        if compression == "jpeg" and mode in ("RGBA", "I;16"):
            expected = 8
        assert result.tag_v2[259] == expected
        result.load()
    off = np.abs(lightness(images.read(job[1])) - lightness(images.read(job[0])))
    assert off.max() <= (6 if compression == "jpeg" else 1)
    if compression in ("tiff_lzw", "tiff_adobe_deflate") and mode == "L":
        sizes = [(tmp_path / name).stat().st_size for name in ("x.tif", "out/x.tif")]
        assert sizes[1] < 4 * sizes[0]


def test_a_lzw_scan_does_not_grow(tmp_path, photos):
    """Three channels instead of one, but not three times the size."""
    gray = Image.fromarray(photos["coffee"]).convert("L")
    gray.save(tmp_path / "x.tif", compression="tiff_lzw")
    job = str(tmp_path / "x.tif"), str(tmp_path / "y.tif")
    assert colorize_files(Gray(), [job]) == ([job], 0)
    assert (tmp_path / "y.tif").stat().st_size < 3 * (tmp_path / "x.tif").stat().st_size


# ICC profiles: kept where they are true


def test_a_profile_that_is_srgb_stays_as_it_is(tmp_path, photo):
    mine = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    mine = mine.replace(mine[24:36], struct.pack(">6H", 1999, 1, 2, 3, 4, 5))
    for suffix in (".jpg", ".png", ".tif", ".webp"):
        Image.fromarray(photo).save(tmp_path / f"x{suffix}", icc_profile=mine)
        opened = images.open_photo(tmp_path / f"x{suffix}")
        assert (opened.icc, opened.profiled) == (mine, False)
        images.write(tmp_path / f"y{suffix}", np.asarray(opened.rgb), opened)
        assert Image.open(tmp_path / f"y{suffix}").info["icc_profile"] == mine


@pytest.mark.parametrize(
    ("mode", "profile", "kept"),
    [
        ("L", gray_profile(1.0), True),
        ("L", gray_profile(2.2), True),
        ("L", rgb_profile(ADOBE, 2.2), False),
        ("RGB", gray_profile(2.2), False),
        ("RGB", b"no profile", False),
        ("I;16", gray_profile(1.0), True),
        ("I;16", rgb_profile(ADOBE, 2.2), False),
    ],
)
def test_no_profile_of_gray_or_of_nothing_is_on_a_result(tmp_path, photo, mode, profile, kept):
    image = Image.fromarray(photo)
    if mode == "I;16":
        image = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "x.png", icc_profile=profile)
    opened = images.open_photo(tmp_path / "x.png")
    assert opened.icc == (profiles.srgb() if kept else None)


def test_the_mark_of_srgb_stays_in_a_png(tmp_path, photo):
    info = PngInfo()
    info.add(b"sRGB", b"\1")
    for array in (photo, photo[..., 0].astype(np.uint16) * 257):
        Image.fromarray(array).save(tmp_path / "x.png", pnginfo=info)
        job = str(tmp_path / "x.png"), str(tmp_path / "y.png")
        assert colorize_files(Gray(), [job])[1] == 0
        assert Image.open(job[1]).info["srgb"] == 1


# Nothing of this may cost the photo


@pytest.mark.parametrize("length", [65_533 - 29, 65_534 - 29, 200_000])
def test_what_a_jpeg_has_no_room_for_is_named(tmp_path, photo, length):
    info = PngInfo()
    info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" + b" " * (length - 7) + b"</x>")
    Image.fromarray(photo).save(tmp_path / "x.png", pnginfo=info)
    job = str(tmp_path / "x.png"), str(tmp_path / "y.jpg")
    opened = images.open_photo(job[0])
    notes = images.write(job[1], np.asarray(opened.rgb), opened)
    assert len(images.open_photo(job[1]).carried.xmp or b"") == (length if length < 65_505 else 0)
    assert len(notes) == (length > 65_504)
    if notes:
        assert "XMP of" in notes[0]


def test_iptc_that_is_stored_as_numbers_of_32_bits(tmp_path, photo):
    padded = IPTC + bytes(-len(IPTC) % 4)
    for order in "<>":
        numbers = struct.unpack(f"{order}{len(padded) // 4}I", padded)
        extra = [(33723, 4, len(numbers), numbers, True)]
        tifffile.imwrite(tmp_path / "x.tif", photo[..., 0], byteorder=order, extratags=extra)
        assert images.open_photo(tmp_path / "x.tif").carried.iptc == padded


@pytest.mark.parametrize("record", [b"", b"garbage", b"\x1c"])
def test_xmp_and_iptc_that_are_damaged_never_stop_a_photo(tmp_path, photo, record):
    Image.fromarray(photo).save(tmp_path / "x.tif", tiffinfo={700: b"\xfe\xff\0<", 33723: record})
    opened = images.open_photo(tmp_path / "x.tif")
    assert opened.carried.xmp is None
    images.write(tmp_path / "y.tif", photo, opened)
    assert np.array_equal(images.read(tmp_path / "y.tif"), photo)


def test_if_what_was_carried_cannot_be_written_the_photo_is_and_it_is_said(
    tmp_path, photo, monkeypatch
):
    jpeg(tmp_path / "x.jpg", Image.fromarray(photo), 1)
    opened = images.open_photo(tmp_path / "x.jpg")
    save = Image.Image.save

    def picky(self, path, **options):
        if "exif" in options:
            raise ValueError("no")
        save(self, path, **options)

    monkeypatch.setattr(Image.Image, "save", picky)
    [note] = images.write(tmp_path / "y.jpg", np.asarray(opened.rgb), opened)
    assert note == "what the photo carried is left out: it cannot be written (no)"
    assert images.read(tmp_path / "y.jpg").shape == photo.shape


def test_a_source_in_memory_carries_the_same(tmp_path, photo):
    class Member:
        def open(self):
            return io.BytesIO((tmp_path / "x.png").read_bytes())

    png(tmp_path / "x.png", Image.fromarray(photo), 6)
    assert images.open_photo(Member()).carried == images.open_photo(tmp_path / "x.png").carried
