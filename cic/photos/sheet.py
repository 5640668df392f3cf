"""Contact sheets: rows of pictures side by side, with a caption above each column."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cic.system.arrays import Bytes

GAP = 12  # pixels between pictures
CAPTION = 36  # pixels of the caption's line
TALLEST = 3  # times the column's width: taller pictures get narrower
LINE = 15  # pixels of a line of text below a picture of a grid


def contact_sheet(
    rows: Sequence[Sequence[Bytes]],
    captions: Sequence[str],
    width: int = 480,
    labels: Sequence[str] | None = None,
) -> Bytes:
    """Return the sheet (H, W, 3) uint8 of rows of (h, w, 3) uint8 pictures in columns `width`
    pixels wide.

    Pictures of one row are of one size; `captions` has one entry a column, `labels` a line of text
    for the space above each row.
    """
    scaled = [[_fit(picture, width) for picture in row] for row in rows]
    columns = len(captions)
    if any(len(row) != columns for row in rows):
        raise ValueError(f"{columns} captions for rows of {[len(row) for row in rows]} pictures")
    label = 2 * LINE if labels else 0
    height = CAPTION + sum(label + row[0].height + GAP for row in scaled)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for column, caption in enumerate(captions):
        middle = GAP + column * (width + GAP) + width // 2
        short = _cut(caption, width, font)
        draw.text((middle, CAPTION // 2), short, "black", font, anchor="mm")
    top = CAPTION
    small = ImageFont.load_default(size=14)
    for number, row in enumerate(scaled):
        if labels:
            text = _cut(labels[number], sheet.width - 2 * GAP, small)
            draw.text((GAP, top + LINE), text, "black", small, anchor="lm")
            top += label
        for column, picture in enumerate(row):
            sheet.paste(picture, (GAP + column * (width + GAP), top))
        top += row[0].height + GAP
    return np.asarray(sheet)


def _fit(picture: Bytes, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    scale = min(width / image.width, TALLEST * width / image.height)
    size = [max(1, round(n * scale)) for n in image.size]
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def grid(
    pictures: Sequence[Bytes | None], captions: Sequence[str], columns: int = 8, width: int = 160
) -> Bytes:
    """Return the sheet (H, W, 3) uint8 of pictures (h, w, 3) uint8 in cells of `width` pixels, row
    by row.

    `captions` has lines of text for the space below each picture; None is a picture as a plain box.
    """
    font = ImageFont.load_default(size=11)
    lines = max(caption.count("\n") + 1 for caption in captions)
    height = width + lines * LINE + GAP
    columns = min(columns, len(captions))
    rows = -(-len(captions) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = GAP + i % columns * (width + GAP), GAP + i // columns * height
        if picture is None:
            draw.rectangle((left, top, left + width - 1, top + width - 1), "lightgray", "gray")
        else:
            scale = width / max(picture.shape[:2])
            sides = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
            image = Image.fromarray(picture).resize(sides)
            sheet.paste(image, (left, top + width - image.height))
        draw.multiline_text((left, top + width), _cut(caption, width, font), "black", font)
    return np.asarray(sheet)


def _cut(caption: str, width: float, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Return the caption with the middle of every line left out that is longer than `width`
    pixels.
    """
    lines = []
    for line in caption.split("\n"):
        kept = len(line)
        short = line
        while kept > 2 and font.getlength(short) > width:
            kept -= 1
            short = f"{line[: kept // 2]}...{line[len(line) - kept // 2 :]}"
        lines.append(short)
    return "\n".join(lines)
