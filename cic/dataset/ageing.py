"""Make a photo's lightness look like an old print that was scanned.

Each effect occurs in half of the pictures, at a strength of its own, in the order in which it
befalls a photograph: lens, film, print, years, scan. The strengths were judged by eye on some fifty
photographs at 128 pixels, in which everything had to stay recognizable. Sizes are in pixels of the
crop.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from cic.system.arrays import Array

OFTEN = 0.5  # how often each effect is there
BLUR = (0.4, 0.9)  # sigma, pixels: soft lenses and enlargements; above, small things are lost
GAMMA = 0.35  # logarithm of the power: L 50 becomes 37 to 61, two thirds of a stop either way
CONTRAST = (-0.4, 0.6)  # share of an S-curve (below 0, of what undoes it): paper's soft to hard
UNEVEN = (0.03, 0.09)  # deviation of lightness over the picture, a share of it: shaded corners
PAPER = (0.01, 0.03)  # the same of paper's texture, which is a few pixels wide
GRAIN = (0.01, 0.045)  # deviation at middle gray; from 0.06 on faces of 20 pixels were lost
GRAIN_SIZES = (1.0, 1.0, 1.5, 2.0)  # pixels: an enlargement shows grain larger than a pixel
FADED = 0.2  # the most that black is lifted, and that white is dimmed
SPECKS, SCRATCHES = 6, 2  # at most
QUALITY = (35, 90)  # of JPEG: old scans on the web
DEVIATION = np.sqrt(4 * (256**2 - 1) / 12)  # of the sum of four bytes
STRETCHED = 1.2  # what bicubic interpolation takes of the deviation of noise, on average


def age(light: Array, random: np.random.Generator) -> Array:
    """(S, S) float32 L in [0, 100] -> the same, aged as the NumPy generator `random` draws it."""
    values = light / np.float32(100)
    for effect in (blur, tone, uneven, paper, grain, fade, dust, compress):
        if random.random() < OFTEN:
            values = np.clip(effect(values, random), 0, 1)
    return values * np.float32(100)


def blur(values: Array, random: np.random.Generator) -> Array:
    """A Gaussian one, edges repeated."""
    sigma = random.uniform(*BLUR)
    offsets = np.arange(-2, 3)
    kernel = np.exp(np.square(offsets) / (-2 * sigma**2)).astype(np.float32)
    kernel /= kernel.sum()
    for _ in range(2):  # along the columns, then the rows
        padded = np.pad(values, ((2, 2), (0, 0)), "edge")
        values = sum(k * padded[n : n + len(values)] for n, k in enumerate(kernel)).T
    return values


def tone(values: Array, random: np.random.Generator) -> Array:
    """Another exposure, a power; and another contrast, a share of the S-curve 3 x^2 - 2 x^3."""
    values = values ** np.float32(np.exp(random.uniform(-GAMMA, GAMMA)))
    curve = values * values * (3 - 2 * values)
    return values + np.float32(random.uniform(*CONTRAST)) * (curve - values)


def uneven(values: Array, random: np.random.Generator) -> Array:
    """Light that falls off slowly over the picture; where there is most, it is as it was."""
    field = _noise(values.shape, values.shape[0] / 3, random)
    return values * np.exp(np.float32(random.uniform(*UNEVEN)) * (field - field.max()))


def paper(values: Array, random: np.random.Generator) -> Array:
    """Texture of paper, which scatters the scanner's light."""
    field = _noise(values.shape, random.uniform(2, 5), random)
    return values * (1 + np.float32(random.uniform(*PAPER)) * field)


def grain(values: Array, random: np.random.Generator) -> Array:
    """Film grain, strongest in middle grays: of black and white there is less to fluctuate."""
    size = random.choice(GRAIN_SIZES)
    most = np.float32(2 * random.uniform(*GRAIN) / np.sqrt(size))  # the coarse hides more
    return values + most * np.sqrt(values * (1 - values)) * _noise(values.shape, size, random)


def fade(values: Array, random: np.random.Generator) -> Array:
    """Blacks that have turned gray, and whites that have yellowed and darkened."""
    black, lost = random.uniform(0, FADED, 2)
    return np.float32(black) + np.float32(1 - black - lost) * values


def dust(values: Array, random: np.random.Generator) -> Array:
    """Specks and hairline scratches, each lighter or darker than what is below."""
    side = values.shape[0]
    picture = Image.fromarray(np.zeros(values.shape, np.float32))
    draw = ImageDraw.Draw(picture)
    for _ in range(random.integers(0, SPECKS + 1)):
        x, y = random.uniform(0, side, 2)
        radius = random.uniform(0, 1.2)
        draw.ellipse((x, y, x + radius, y + radius), fill=random.uniform(-0.3, 0.5))
    for _ in range(random.integers(0, SCRATCHES + 1)):
        x, lean = random.uniform(0, side), random.normal(0, side / 20)
        y, end = np.sort(random.uniform(-side / 2, 1.5 * side, 2))
        draw.line((x, y, x + lean, end), fill=random.uniform(-0.1, 0.2))
    return values + np.asarray(picture)


def compress(values: Array, random: np.random.Generator) -> Array:
    """A round trip through a JPEG of one channel."""
    file = io.BytesIO()
    image = Image.fromarray(np.rint(255 * values).astype(np.uint8))
    image.save(file, "JPEG", quality=int(random.integers(*QUALITY)))
    return np.asarray(Image.open(file), np.float32) / 255


def _noise(shape: tuple[int, ...], size: float, random: np.random.Generator) -> Array:
    """Noise of deviation about 1, `size` pixels coarse, float32."""
    if size == 1:
        return _normal(shape, random)
    coarse = [int(np.ceil(n / size)) + 1 for n in shape]
    field = Image.fromarray(_normal(coarse, random))
    height, width = shape
    box = (0.5, 0.5, 0.5 + width / size, 0.5 + height / size)
    smooth = field.resize((width, height), Image.Resampling.BICUBIC, box)
    return np.asarray(smooth) * np.float32(STRETCHED)


def _normal(shape: Sequence[int], random: np.random.Generator) -> Array:
    """Noise of deviation 1, float32: sums of four bytes, nearly normal and four times as fast."""
    four = np.frombuffer(random.bytes(4 * shape[0] * shape[1]), np.uint8).reshape(4, *shape)
    return (four.sum(0, dtype=np.float32) - np.float32(4 * 127.5)) / np.float32(DEVIATION)
