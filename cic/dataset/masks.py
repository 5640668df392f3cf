"""Free-form masks: random strokes that hide parts of a photo."""

import numpy as np
from PIL import Image, ImageDraw

from cic.system.arrays import Truths

# zhaoyuzhi's settings (ResNet-18 RGB freeform IN, main.py) for photos of 256 pixels; lengths and
# widths grow with the photo.
SIDE = 256
STROKES = 30  # fewer than so many
TURNS = 5  # of a stroke, at most
ANGLES = 4  # radians, whole numbers below
LENGTHS = 10, 50  # pixels of a straight piece: the least, and how many more at most
WIDTHS = 5, 10


def free_form(random: np.random.Generator, side: int) -> Truths:
    """Return the mask (side, side) of bool, True where hidden, drawn from a NumPy generator.

    Strokes of straight pieces, every other one turning the other way (`random_ff_mask` in
    zhaoyuzhi's dataset_RGB_inpainting_ImageNet.py, which draws masks and never applies them).
    """
    scale = side / SIDE
    picture = Image.new("1", (side, side))
    canvas = ImageDraw.Draw(picture)
    for stroke in range(random.integers(STROKES)):
        x, y = random.integers(side, size=2)
        for _ in range(1 + random.integers(TURNS)):
            angle = (0.01 + random.integers(ANGLES)) * (-1 if stroke % 2 == 0 else 1)
            length = scale * (LENGTHS[0] + random.integers(LENGTHS[1]))
            width = max(1, round(scale * (WIDTHS[0] + random.integers(WIDTHS[1]))))
            end = x + length * np.sin(angle), y + length * np.cos(angle)
            canvas.line((x, y, *end), fill=1, width=width)
            x, y = end
    return np.asarray(picture)
