"""What is asked of a process that colours: a photo, or what the page needs to show one."""

import base64
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cic.colorize import alternatives, edges, piped, uncertainty
from cic.colorize.colorizer import Colorizer, Tilt
from cic.colour.decoding import MEAN
from cic.colour.lab import lab_to_rgb, lightness
from cic.photos import images
from cic.photos.memory import InMemory
from cic.system.arrays import Array, Bytes, Floats

LONG = 1000  # pixels of the longer side of the page's picture
COUNT = 5  # colourings to choose from, at most
TEMPERATURES = (0.1, 0.4, 0.9, 1.6)  # the page goes between these in straight lines
MEDIA = {
    ".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".webp": "image/webp",
    ".bmp": "image/bmp",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A photo and what is wanted of it: settings, a tilt, a format's ending or None for its own."""

    data: bytes = field(repr=False)
    preview: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    tilt: Tilt | None = None
    ending: str | None = None


class Answer(NamedTuple):
    """A body, its media type, and what is told about it in headers."""

    body: bytes
    media: str
    headers: dict[str, str]


def answer(colorizer: Colorizer, task: Task) -> Answer:
    """The Answer to a Task; raises whatever its photo brings out."""
    begin = time.perf_counter()
    if task.preview:
        body = json.dumps(preview(colorizer, InMemory(task.data))).encode()
        return Answer(body, "application/json", {})
    chosen = colorizer.but(**task.changes)
    made = piped.colorize(chosen, InMemory(task.data), task.ending, task.tilt)
    about = {
        "Cic-Network": str(colorizer.network),
        "Cic-Seconds": f"{time.perf_counter() - begin:.3f}",
        "Cic-Size": f"{made.width}x{made.height}",
    }
    return Answer(made.data, MEDIA[made.ending], about)


def preview(colorizer: Colorizer, source: InMemory) -> dict[str, Any]:
    """What the page needs to show a photo in its colours, and to change them by itself.

    The photo small and gray, and straight lines in its lightness (see `edges`) of the cells, for
    several temperatures and for each alternative, all of saturation 1. Arrays are little-endian, in
    base64: `lines` (h, w, 4) float32, slopes of a and b and their offsets; `range` (h, w, 2)
    float32, the lightness that they hold for; `uncertainty` (h, w) uint8, 255 for any colour.
    """
    photo = images.open_photo(source, work=colorizer.memory)
    plain = colorizer.but(saturation=1)
    image, output = photo.base, plain.output(photo.base)
    guide = plain.guide(image)
    first = _straight(plain.ab_of(output), guide)
    found: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "notes": photo.notes,
        "gray": _text(_jpeg(_gray(image))),
        "grid": [*first.shape[:2], plain.grid.place],
        "range": _text(first[..., 4:]),
        "saturation": colorizer.settings.decoding.saturation,
        "temperature": None,
        "lines": [{"temperature": None, "lines": _text(first[..., :4])}],
        "alternatives": [],
        "uncertainty": None,
    }
    if plain.has_distribution:
        found |= _choices(plain, output, guide)
    return found


def _choices(plain: Colorizer, logits: Floats, guide: Floats | None) -> dict[str, Any]:
    """What there is to choose of logits, as in `preview`."""
    decoding = plain.settings.decoding
    steps = sorted({*TEMPERATURES, decoding.temperature})
    # Of means, which take a fifth of the time that medians do; the tilts are what counts.
    tilts = alternatives.most_likely(logits, COUNT, plain.but(statistic=MEAN).settings.decoding)
    own = [alternatives.tilted(logits, one.tilt, decoding) for one in tilts]
    level = uncertainty.entropy(logits) * (255 / uncertainty.MOST)
    return {
        "temperature": decoding.temperature,
        "lines": [
            {"temperature": t, "lines": _lines(plain.but(temperature=t).ab_of(logits), guide)}
            for t in steps
        ],
        "alternatives": [
            {"tilt": one.tilt, "bits": one.bits, "lines": _lines(ab, guide)}
            for one, ab in zip(tilts, own)
        ],
        "uncertainty": _text(np.rint(level).astype(np.uint8)),
    }


def _lines(ab: Floats, guide: Floats | None) -> str:
    return _text(_straight(ab, guide)[..., :4])


def _straight(ab: Floats, guide: Floats | None) -> Floats:
    """The lines of `edges.lines`, (h, w, 6) float32; without a guide level ones."""
    if guide is not None:
        return edges.lines(ab, guide)
    level, ends = np.zeros_like(ab), np.broadcast_to(np.array([0, 100], np.float32), ab.shape)
    return np.concatenate([level, ab, ends], axis=-1).astype(np.float32)


def _gray(image: Image.Image) -> Bytes:
    """A Pillow image of mode RGB or L, small, as gray of the same lightness, (h, w) uint8."""
    scale = min(1, LONG / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    light = lightness(np.asarray(small if small.mode == "RGB" else small.convert("RGB")))
    lab = np.zeros((*light.shape, 3), np.float32)
    lab[..., 0] = light
    return np.rint(lab_to_rgb(lab)[..., 0] * 255).astype(np.uint8)


def _jpeg(gray: Bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "jpeg", quality=92)
    return file.getvalue()


def _text(data: bytes | Array) -> str:
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).tobytes()
    return base64.b64encode(data).decode("ascii")
