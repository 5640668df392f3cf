"""The best and the worst of a measured set: one self-contained HTML page, and a contact sheet."""

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from cic.colorize.colorizer import MAP, Colorizer
from cic.photos.sheet import contact_sheet
from cic.system.arrays import Bytes
from cic.system.typing import Json
from metric import baselines

Pictures: TypeAlias = list[tuple[str, Bytes]]  # captions and pictures
WIDEST = 480  # pixels of a picture on the page: its column shows it at half of that or more
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
article { margin: 1.5rem 0; }
h3 { font-size: 1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
.pictures { display: grid; gap: .5rem; grid: auto / repeat(auto-fill, minmax(12rem, 1fr)); }
figure { margin: 0; }
figcaption { font-size: .85rem; }
img { display: block; height: auto; max-width: 100%; width: 100%; }
.drawings img { max-width: 40rem; }
pre { overflow-x: auto; }
"""


class Exhibit(NamedTuple):
    """A photo to show: its name, its error in words, and [(caption, (h, w, 3) uint8)]."""

    name: str
    error: str
    pictures: Pictures


def show(
    photo: Bytes, colorizers: Mapping[str, Colorizer], alternatives: int = 1, with_map: bool = False
) -> Pictures:
    """Return [(caption, (H, W, 3) uint8)] of a photo: gray, what {name: colorizer} make of it, the
    truth.

    The first's next `alternatives` and its map of uncertainty follow its colouring; where there are
    fewer alternatives the rest are white.
    """
    image, (first, *others) = Image.fromarray(photo), colorizers
    made = dict(colorizers[first].pictures(image, alternatives, with_map))
    white = np.full_like(photo, 255)
    shown = [("gray", baselines.pictures(photo)[baselines.GRAY]), (first, made[1])]
    shown += [(f"alternative {n}", made.get(n, white)) for n in range(2, alternatives + 1)]
    if with_map:
        shown.append(("uncertainty", made[MAP][: len(photo)]))  # without its legend
    shown += [(name, colorizers[name](image)) for name in others]
    return [*shown, ("truth", photo)]


def extremes(errors: Sequence[float], count: int) -> tuple[list[int], list[int]]:
    """Return the indices of the `count` lowest of `errors`, from the lowest, and of as many of the
    highest.

    None is in both: of fewer than twice as many, each list has half, the best the middle one.
    """
    order = sorted(range(len(errors)), key=errors.__getitem__)
    half = -(-len(order) // 2)
    return order[: min(count, half)], order[half:][::-1][:count]


def page(
    title: str,
    table: Sequence[Sequence[str]],
    drawings: Mapping[str, bytes],
    groups: Mapping[str, Sequence[Exhibit]],
    card: Mapping[str, Json],
) -> str:
    """Return the page as text: HTML that needs no other file and runs no script.

    `table` is [[cell, ...], ...] with its headings first, `drawings` {caption: PNG bytes}, `groups`
    {heading: [Exhibit, ...]}, `card` the protocol card, a dict.
    """
    shown = "".join(_figure(name, "png", data) for name, data in drawings.items())
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _table(table),
        f'<div class="drawings">{shown}</div>',
        *(_group(heading, exhibits) for heading, exhibits in groups.items()),
        f"<h2>How it was measured</h2><pre>{html.escape(json.dumps(card, indent=2))}</pre>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = [f"<tr>{cells}</tr>"]
    for row in body:
        lines.append(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _group(heading: str, exhibits: Iterable[Exhibit]) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>{''.join(map(_article, exhibits))}</section>"


def _article(exhibit: Exhibit) -> str:
    pictures = "".join(
        _figure(caption, "jpeg", _jpeg(picture)) for caption, picture in exhibit.pictures
    )
    title = f"{html.escape(exhibit.name)} &middot; {html.escape(exhibit.error)}"
    return f'<article><h3>{title}</h3><div class="pictures">{pictures}</div></article>'


def _figure(caption: str, kind: str, data: bytes) -> str:
    """Return a picture in the page itself, with its caption."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    caption = html.escape(caption)
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def _jpeg(picture: Bytes) -> bytes:
    image = Image.fromarray(picture)
    image.thumbnail((WIDEST, 2 * WIDEST), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=88)
    return buffer.getvalue()


def sheet(groups: Mapping[str, Sequence[Exhibit]], width: int = 240) -> Bytes:
    """Return the contact sheet (H, W, 3) uint8 of the same groups, a row a photo, of one set of
    captions.
    """
    exhibits = [(heading, exhibit) for heading, shown in groups.items() for exhibit in shown]
    captions = [caption for caption, _ in exhibits[0][1].pictures]
    rows = [[picture for _, picture in exhibit.pictures] for _, exhibit in exhibits]
    labels = [f"{heading}: {exhibit.name}, {exhibit.error}" for heading, exhibit in exhibits]
    return contact_sheet(rows, captions, width, labels)
