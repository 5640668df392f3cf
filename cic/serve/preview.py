"""Compute what the page needs to show a photo in its colours, and to change them by itself."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from cic.colorize import alternatives, uncertainty
from cic.colorize.colorizer import Colorizer
from cic.colorize.hints import unsure
from cic.colorize.settings import GUIDED
from cic.colour.decoding import MEAN
from cic.colour.lab import lab_to_rgb, lightness
from cic.photos import images
from cic.photos.memory import InMemory
from cic.system.arrays import Array, Bytes, Floats

LONG = 1000  # pixels of the longer side of the page's picture
COUNT = 5  # colourings to choose from, at most
NOTES = ("lost", "stretched")  # words of what is noted of a photo, which tell what it is about
TEMPERATURES = (0.1, 0.4, 0.9, 1.6)  # the page goes between these in straight lines


def preview(colorizer: Colorizer, source: InMemory) -> dict[str, Any]:
    """Return the photo small and gray, and what is known of its cells, (h, w) on the grid.

    `ab` (h, w, 2) float32, of saturation 1, for several temperatures and for each alternative;
    `light` (h, w) float32, along which they are enlarged if they are `guided` (see `edges`);
    `unsure` (h, w) float32, by which hints spread (see `hints`); `uncertainty` (h, w) uint8, 255
    for any colour. Arrays are little-endian, in base64.
    """
    photo = images.open_photo(source, work=colorizer.memory)
    plain = colorizer.but(saturation=1)
    image, output = photo.base, plain.output(photo.base)
    light = plain.light(image)
    found: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "notes": [_coded(note) for note in photo.notes],
        "gray": _text(_jpeg(_gray(image))),
        "grid": [*light.shape, plain.grid.place],
        "light": _text(light),
        "guided": plain.settings.edges == GUIDED,
        "saturation": colorizer.settings.decoding.saturation,
        "temperature": None,
        "colours": [{"temperature": None, "ab": _text(plain.ab_of(output, light))}],
        "alternatives": [],
        "unsure": None,
        "uncertainty": None,
    }
    if plain.has_distribution:
        found |= _choices(plain, output, light)
    return found


def _choices(plain: Colorizer, logits: Floats, light: Floats) -> dict[str, Any]:
    """Return what there is to choose of logits and L of the cells, as in `preview`."""
    decoding = plain.settings.decoding
    steps = sorted({*TEMPERATURES, decoding.temperature})
    # Of means, which take a fifth of the time that medians do; the tilts are what counts.
    tilts = alternatives.most_likely(logits, COUNT, plain.but(statistic=MEAN).settings.decoding)
    own = [plain.refined(alternatives.tilted(logits, t.tilt, decoding), light) for t in tilts]
    level = uncertainty.entropy(logits) * (255 / uncertainty.MOST)
    return {
        "temperature": decoding.temperature,
        "colours": [
            {"temperature": t, "ab": _text(plain.but(temperature=t).ab_of(logits, light))}
            for t in steps
        ],
        "alternatives": [
            {"tilt": one.tilt, "bits": one.bits, "ab": _text(ab)} for one, ab in zip(tilts, own)
        ],
        "unsure": _text(unsure(logits).astype(np.float32)),
        "uncertainty": _text(np.rint(level).astype(np.uint8)),
    }


def _coded(note: str) -> dict[str, str | None]:
    """Return a note, and a code by which the page translates it; None if it is of no known kind."""
    return {"detail": note, "code": next((word for word in NOTES if word in note), None)}


def _gray(image: Image.Image) -> Bytes:
    """Return a Pillow image of mode RGB or L, small, as gray of the same lightness, (h, w)
    uint8.
    """
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
