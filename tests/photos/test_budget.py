"""budget: what a photo takes is known before it is decoded, and what is too much refused."""

import io
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from cic import networks
from cic.dataset import validity
from cic.photos import budget, images
from cic.photos.damage import Unsupported
from cic.system import groups
from cic.weights import reading
from helpers import ROOT

SIDE = 13_312  # squared it is 177,209,344 pixels, below the limit


def png(side, bits, colour, row):
    """A PNG of zeros, some hundred KB whatever its size."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\0" + bytes(row)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    )


def webp(side):
    """A WebP whose canvas is large and whose picture is not."""
    small = io.BytesIO()
    Image.new("RGBA", (16, 16)).save(small, "WEBP", lossless=True)
    frame = small.getvalue()[12:]
    size = (side - 1).to_bytes(3, "little") * 2
    head = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size
    loop = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    place = bytes(6) + (15).to_bytes(3, "little") * 2 + bytes(4)
    part = b"ANMF" + struct.pack("<I", len(place + frame)) + place + frame
    body = b"WEBP" + head + loop + part
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jp2(side):
    """The header of a JPEG 2000 that claims to be large."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG2000")
    data = file.getvalue()
    return data.replace(struct.pack(">II", 64, 64), struct.pack(">II", side, side))[:300]


def gif(side):
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
        + bytes(6)
        + (b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;")
    )


def progressive(side):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", progressive=True, subsampling=0)
    data = file.getvalue()
    at = data.index(b"\xff\xc2")
    return data[: at + 5] + struct.pack(">HH", side, side) + data[at + 9 :]


BOMBS = {
    "canvas.webp": webp(SIDE),
    "claims.jp2": jp2(SIDE),
    "alpha.png": png(SIDE // 4, 8, 6, SIDE),  # made as large below
    "progressive.jpg": progressive(SIDE),
    "grayalpha.png": png(SIDE // 4, 16, 4, SIDE),
}


def enlarged(data):
    """The PNG with a header that claims SIDE squared."""
    head = data[12:29].replace(
        struct.pack(">II", SIDE // 4, SIDE // 4), struct.pack(">II", SIDE, SIDE)
    )
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, name, monkeypatch):
    data = BOMBS[name]
    (tmp_path / name).write_bytes(enlarged(data) if name.endswith(".png") else data)
    assert (tmp_path / name).stat().st_size < 500_000
    monkeypatch.setattr(Image.Image, "load", None)  # nothing is decoded
    for read in (images.open_photo, images.open_rgb):
        with pytest.raises(images.PhotoError) as caught:
            read(tmp_path / name)
        assert caught.value.kind == "refused"
        assert re.search(r"too large: needs about [1-4]\.\d\d GB of memory", str(caught.value))
        assert "a photo may take 1.03 GB: max_pixels" in str(caught.value)
    assert validity.examine(tmp_path / name).kind == validity.REFUSED


def test_the_figure_that_is_named_is_enough(tmp_path):
    (tmp_path / "x.webp").write_bytes(webp(SIDE))
    with pytest.raises(images.PhotoError) as caught:
        images.read(tmp_path / "x.webp")
    pixels = int(re.search(r"max_pixels (\d+)", str(caught.value))[1])
    limit = images.pixel_limit()
    try:
        images.limit_pixels(pixels)
        with images.opened(tmp_path / "x.webp") as image:
            assert budget.of_image(image) <= budget.room()
        images.limit_pixels(pixels - 1_000_000)
        with images.opened(tmp_path / "x.webp") as image:
            assert budget.of_image(image) > budget.room()
        images.limit_pixels(None)
        assert budget.room() == float("inf")
    finally:
        images.limit_pixels(limit)


def test_a_low_limit_of_pixels_leaves_room_for_what_it_allows():
    limit = images.pixel_limit()
    try:
        images.limit_pixels(1000)
        assert budget.room() > 1e9
    finally:
        images.limit_pixels(limit)


MEASURE = """
import re, sys
from PIL import Image
from cic.photos import budget, images
def peak():  # not getrusage's, which begins with that of the parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
images.read(sys.argv[1])  # what is loaded once
before = peak()
with images.opened(sys.argv[2]) as image:
    need = budget.of_image(image, to_rgb=sys.argv[3] == "rgb")
(images.open_rgb if sys.argv[3] == "rgb" else images.open_photo)(sys.argv[2])
print((peak() - before) / need)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode", "how", "options"),
    [
        ("x.png", "L", "rgb", {}),
        ("x.png", "RGB", "photo", {}),
        ("x.png", "RGBA", "photo", {}),
        ("x.png", "I;16", "photo", {}),
        ("x.png", "I;16", "rgb", {}),
        ("x.tif", "I;16", "photo", {"compression": "tiff_lzw"}),
        ("x.tif", "F", "photo", {}),
        ("x.jpg", "CMYK", "rgb", {}),
        ("x.jpg", "RGB", "photo", {"progressive": True}),
        ("x.jpg", "L", "photo", {"turned": True}),
        ("x.jpg", "RGB", "rgb", {"turned": True}),
        ("x.webp", "RGB", "photo", {"lossless": True, "method": 0, "quality": 0}),
        ("x.jp2", "RGB", "photo", {}),
    ],
)
def test_what_a_photo_takes_is_about_what_was_said(tmp_path, photo, name, mode, how, options):
    """And never more: 9 megapixels of each kind, 3 of JPEG 2000, which is slow to write."""
    array = np.tile(photo, (16 if name == "x.jp2" else 50, 33, 1))
    image = Image.fromarray(array)
    if mode == "I;16":
        image = Image.fromarray(array[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    options = {**options, "compress_level": 1}
    if options.pop("turned", False):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    image.save(tmp_path / name, **options)
    image.crop((0, 0, 64, 64)).save(tmp_path / f"small{name[1:]}", **options)
    command = [sys.executable, "-c", MEASURE, tmp_path / f"small{name[1:]}", tmp_path / name, how]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.5 < float(run.stdout) < 1.15


@pytest.mark.parametrize("size", [(256, 256), (256, 1024)])
def test_what_a_network_takes_grows_with_its_input(size):
    network = reading.load_weights()[0]
    need = budget.network_bytes(network, *size)
    assert 0 < need < 0.3e9
    assert budget.network_bytes(network, 2 * size[0], 2 * size[1]) > 1.5 * need
    wide = networks.get("cic")
    assert budget.network_bytes(wide, *size) > 3 * need


# What is available


def files(monkeypatch, contents):
    monkeypatch.setattr(groups, "lines", lambda path: contents.get(path, "").splitlines(True))


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   2000000 kB\n"}, 2_048_000_000),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/memory.max": "max\n",
                "/sys/fs/cgroup/a/memory.max": "1000000000\n",
                "/sys/fs/cgroup/a/memory.current": "700000000\n",
                "/sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 100000000\n",
            },
            400_000_000,
        ),
        (
            {
                "/proc/meminfo": "MemAvailable:   2000000 kB\n",
                "/proc/self/cgroup": "4:memory:/x\n0::/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "500000000\n",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "600000000\n",
            },
            0,
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu,memory:/x\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "500000000\n",
                "/sys/fs/cgroup/memory/x/memory.usage_in_bytes": "100000000\n",
                "/sys/fs/cgroup/memory/x/memory.stat": "total_inactive_file 1000\n",
            },
            400_001_000,
        ),
        ({}, float("inf")),
    ],
)
def test_the_smallest_of_all_limits_counts(monkeypatch, contents, expected):
    files(monkeypatch, contents)
    assert budget.available_memory() == expected


def test_too_little_that_is_free_is_said_with_both_figures(monkeypatch):
    files(monkeypatch, {"/proc/meminfo": "MemAvailable: 300000 kB\n"})
    budget.check(250_000_000)
    with pytest.raises(Unsupported) as caught:
        budget.check(400_000_000)
    assert str(caught.value) == "too large: needs about 0.40 GB of memory, and 0.31 GB is free"


def test_a_limit_of_the_address_space_counts(tmp_path, photo):
    Image.fromarray(np.tile(photo, (40, 30, 1))).save(tmp_path / "x.png")  # 6.5 megapixels
    code = (
        "import resource, sys\n"
        "from cic.photos import budget, images\n"
        "taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "limit = taken + 25_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "budget.SMALL = 1e6\n"
        "try: images.read(sys.argv[1])\n"
        "except images.PhotoError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.png"], cwd=ROOT, capture_output=True, text=True
    )
    assert "too large: needs about 0.03 GB of memory, and 0.02 GB is free" in run.stdout


@pytest.mark.parametrize("size", [(600_000, 1), (1, 600_000)])
def test_a_side_that_is_absurdly_long_is_refused(tmp_path, size):
    Image.new("1", size).save(tmp_path / "x.png")
    with pytest.raises(images.PhotoError, match=r"600,000 pixels long, more than 500,000"):
        images.open_photo(tmp_path / "x.png")
