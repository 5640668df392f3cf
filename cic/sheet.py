"""Contact sheets: rows of pictures side by side, with a caption above each column."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 12  # pixels between pictures
CAPTION = 36  # pixels of the caption's line
TALLEST = 3  # times the column's width: taller pictures get narrower


def contact_sheet(rows, captions, width=480):
    """Sheet (H, W, 3) uint8 of rows of (h, w, 3) uint8 pictures in columns `width` pixels wide.

    Pictures of one row are of one size; `captions` has one entry a column.
    """
    scaled = [[_fit(picture, width) for picture in row] for row in rows]
    columns = len(captions)
    height = CAPTION + sum(row[0].height + GAP for row in scaled)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for column, caption in enumerate(captions):
        middle = GAP + column * (width + GAP) + width // 2
        draw.text((middle, CAPTION // 2), caption, "black", font, anchor="mm")
    top = CAPTION
    for row in scaled:
        for column, picture in enumerate(row):
            sheet.paste(picture, (GAP + column * (width + GAP), top))
        top += row[0].height + GAP
    return np.asarray(sheet)


def _fit(picture, width):
    image = Image.fromarray(picture)
    scale = min(width / image.width, TALLEST * width / image.height)
    size = [max(1, round(n * scale)) for n in image.size]
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
