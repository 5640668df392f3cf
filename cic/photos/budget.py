"""Compute the memory that a photo takes before it is decoded, from its size, mode and format."""

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from PIL import Image

from cic.photos import metadata
from cic.photos.damage import Unsupported
from cic.system import groups
from cic.system.arrays import Shape
from cic.system.limits import PIXELS, pixel_limit

# Bytes that the process may take for photos of up to PIXELS; in proportion for a higher limit.
PROCESS = 1.5e9
# Of these, what is taken before any photo: interpreter, framework and the bundled network. Measured
# on Linux: 295 MB with PyTorch 2.13, 376 MB with PaddlePaddle 3.3.
BASE = 0.4e9
SCRATCH = 0.07e9  # the strips that are worked on, encoders' buffers
SIDE = 500_000  # pixels of a side: a row is worked on as a whole, in some 200 bytes a pixel
SMALL = 0.03e9  # less is not worth asking for: to look what is free takes longer than to take it

_CORE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # else 4 bytes
# Bytes a pixel that a decoder takes beside the image, measured on 9 megapixels: 12.3 of libwebp
# (two canvases and a copy), 5.6 of libavif and 3.6 of libheif (planes; more of 10 bits), and 5.3
# for each band of OpenJPEG. A GIF's frames are put together.
_DECODER: dict[str | None, float] = {"WEBP": 12.5, "AVIF": 8, "HEIF": 6, "GIF": 4, "PSD": 4}
_JPEG2000 = 5.5
_COEFFICIENT = 2  # bytes of one of a progressive JPEG, of which all are held


def check_sides(size: tuple[int, int]) -> None:
    """Raise Unsupported for a photo of (width, height) pixels that is too long to work on."""
    if max(size) > SIDE:
        raise Unsupported(f"too large: {max(size):,} pixels long, more than {SIDE:,}")


def check(need: float) -> None:
    """Raise Unsupported, saying the figures, if `need` bytes for a photo are too much here."""
    if need <= SMALL:
        return
    needs = f"needs about {_gigabytes(need)} of memory"
    if (allowed := room()) < need:
        pixels = -(-(need + BASE + SCRATCH) * PIXELS // (PROCESS * 1_000_000)) * 1_000_000
        raise Unsupported(
            f"too large: {needs}, and a photo may take {_gigabytes(allowed)}: "
            f"max_pixels {pixels:.0f} allows more"
        )
    if (free := available_memory()) < need:
        raise Unsupported(f"too large: {needs}, and {_gigabytes(free)} is free")


def room() -> float:
    """Return the bytes that a photo may take under the limit of pixels."""
    limit = pixel_limit()
    if limit is None:
        return float("inf")
    return PROCESS * max(1, limit / PIXELS) - BASE - SCRATCH


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def of_image(image: Image.Image, to_rgb: bool = True) -> float:
    """Return the bytes that it takes to read an opened Pillow image that is not decoded yet.

    The peak of three steps: decoding, turning, and making sRGB of it. Gray of more than 8 bits
    becomes an image of mode RGB only if `to_rgb`.
    """
    core = _CORE.get(image.mode, 4)
    turned = metadata.turn(image) is not None if _has_exif(image) else False
    steps = [core + _decoder(image)]
    if image.mode[0] in "IF":
        steps += [core + 2, 2 * 2 if turned else 2 + 1]
        steps += [core + 1 + 4] if to_rgb else []
    else:
        core *= 2 if turned else 1
        alpha = image.mode[-1] in "Aa" or "transparency" in image.info
        steps += [core + (0 if image.mode == "RGB" else 4) + alpha]
    return image.width * image.height * max(steps) + _of_strips(image)


def _has_exif(image: Image.Image) -> bool:
    """Return whether the EXIF can be asked for: for that of a PNG, that lacks it, Pillow decodes
    it.
    """
    return image.format != "PNG" or "exif" in image.info


def _decoder(image: Image.Image) -> float:
    if image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        scale = image.decoderconfig[0] if image.decoderconfig else 1  # type: ignore[attr-defined]  # of a draft
        layers = getattr(image, "layer", [(0, 1, 1, 0)] * 3)
        most = max(across * down for _, across, down, _ in layers) or 1
        held = sum(across * down for _, across, down, _ in layers) / most
        return (_COEFFICIENT * held + 1) * scale**2  # 1 to see whether all is there
    if image.format == "JPEG2000":
        return _JPEG2000 * len(image.getbands())
    return _DECODER.get(image.format, 0)


def _of_strips(image: Image.Image) -> int:
    """Return the bytes of a compressed TIFF: of its file, which libtiff maps, and of its largest
    strip.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.info.get("compression") == "raw":
        return 0
    bits = tags.get(258, (8,))
    rows, tiled = tags.get(278, image.height), 322 in tags  # RowsPerStrip, TileWidth
    stored = tags.get(325 if tiled else 279, ())  # TileByteCounts, StripByteCounts
    strip = 0 if tiled else min(rows, image.height) * image.width * sum(bits) // 8
    return strip + sum(stored if isinstance(stored, tuple) else (stored,))


class _Layer(Protocol):
    def output(self, shape: Shape) -> Shape:
        """Return the Shape of what it puts out."""


class Measurable(Protocol):
    """A network, as far as its memory is computed here: this floor knows no networks."""

    @property
    def channels(self) -> int:
        """Of the input."""

    @property
    def layers(self) -> Iterable[_Layer]:
        """In order."""

    @property
    def parameter_count(self) -> int:
        """How many numbers its weights are."""


def network_bytes(network: Measurable, height: int, width: int) -> float:
    """Return the bytes that a network takes beside BASE for an input of that size, weights and all.

    Two and a half times what its widest layer reads and writes: measured for `cic` at 1024 x 4096
    pixels, 1.5 times that with PyTorch and 2.2 with PaddlePaddle.
    """
    shape: Shape = (network.channels, height, width)
    most = 0
    for layer in network.layers:
        put_out = layer.output(shape)
        most = max(most, _count(shape) + _count(put_out))
        shape = put_out
    return 4 * (2.5 * most + 2 * network.parameter_count)


def _count(shape: Shape) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def available_memory() -> float:
    """Return the bytes that this process can still take: of the machine, its control groups and its
    limits.
    """
    found = [_machine(), _address_space(), *_groups()]
    return min((free for free in found if free is not None), default=float("inf"))


def _machine() -> int | None:
    for line in groups.lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _address_space() -> int | None:
    """Return what `ulimit -v` leaves; None if there is no such limit."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = "".join(groups.lines("/proc/self/statm")).split()
    if limit == resource.RLIM_INFINITY or not taken:
        return None
    return max(0, limit - int(taken[0]) * resource.getpagesize())


# Of a control group, version 2 and 1: folder, limit, usage, and what of it can be had back.
_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def _groups() -> Iterator[int]:
    """Yield what each control group that this process is in leaves, bytes."""
    for root, *names in _GROUPS:
        for folder in groups.folders(root, "memory"):
            free = _left(folder, *names)
            if free is not None:
                yield free


def _left(folder: str, limit: str, usage: str, cached: str) -> int | None:
    try:
        most, taken = (
            int("".join(groups.lines(os.path.join(folder, name)))) for name in (limit, usage)
        )
    except ValueError:  # "max", or there is none
        return None
    stat = dict(line.split() for line in groups.lines(os.path.join(folder, "memory.stat")))
    return max(0, most - taken + int(stat.get(cached, 0)))
