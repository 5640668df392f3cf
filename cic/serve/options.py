"""Check what a query says, before looking at the photo."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cic.colorize.hints import Hint, of_text
from cic.serve.problems import Problem
from cic.serve.tasks import MEDIA, ChoicesWanted, PhotoWanted
from cic.system.errors import InputError
from cic.system.text import message_of

_RANGES = {"temperature": (0.01, 100.0), "saturation": (0.0, 10.0)}
_SIZES = (32, 1024)  # pixels: what a short side costs grows with its square
_SIDES = 4  # sizes of which the mean is taken, at most
_NAMES = (*_RANGES, "size", "alternative", "tilt", "hints", "format")
_SIDE = 1e9  # pixels: no photo has more
_COUNT, _MOST = 6, 20  # choices
ALTERNATIVES = 20  # more than there are of a photo
_HINTS = 200_000  # bytes: those of as many as there may be
FORMATS = {"jpg": ".jpg", "jpeg": ".jpg", "png": ".png", "tif": ".tif", "tiff": ".tif"} | {
    "webp": ".webp",
    "bmp": ".bmp",
}
_WEIGHT = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)
Query = Iterable[tuple[str, str]]


def colours(query: Query, accept: str) -> PhotoWanted:
    """Return what a query's (name, value) pairs and an Accept header say; raise Problem 422 or
    406.
    """
    given = _given(query, _NAMES)
    changes: dict[str, Any] = {
        name: _number(given[name], name, *ends) for name, ends in _RANGES.items() if name in given
    }
    if "size" in given:
        changes["sizes"] = _sizes(given["size"])
    chosen = hints(given["hints"].encode()) if "hints" in given else ()
    ending, refused = _format(given, accept)
    return PhotoWanted(changes, _tilt(given), _alternative(given), chosen, ending, refused)


def choices(query: Query) -> ChoicesWanted:
    """Return the place that a query's (name, value) pairs ask about; raise Problem 422."""
    given = {"count": str(_COUNT)} | _given(query, ("x", "y", "count"))
    if missing := {"x", "y"} - given.keys():
        raise Problem(422, f"{min(missing)} is missing: the place of a pixel is x and y")
    x, y = (_number(given[name], name, 0, _SIDE) for name in ("x", "y"))
    return ChoicesWanted(x, y, _whole(given["count"], "count", 1, _MOST))


def nothing(query: Query) -> None:
    """Raise Problem 422 unless a query is empty."""
    _given(query, ())


def hints(text: bytes) -> tuple[Hint, ...]:
    """Return the hints in JSON; raise Problem 422."""
    if len(text) > _HINTS:
        raise Problem(422, f"hints: more than {_HINTS:,} bytes")
    try:
        return of_text(text)
    except InputError as error:
        raise Problem(422, message_of(error)) from None


def _given(query: Query, names: tuple[str, ...]) -> dict[str, str]:
    """Return {name: value} of a query that has no other names; raise Problem 422."""
    pairs = list(query)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Problem(422, "a parameter comes twice")
    if unknown := [name for name in given if name not in names]:
        there = f"there are {_listed(names)}" if names else "there are none"
        raise Problem(422, f"there is no parameter {unknown[0][:40]!r}; {there}")
    return given


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _number(text: str, name: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not least <= number <= most:
        raise Problem(422, f"{name} must be a number from {least:g} to {most:g}")
    return number


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= float(text) <= most):
        raise Problem(422, f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) > _SIDES or len({*parts}) < len(parts):
        raise Problem(422, f"size must be up to {_SIDES} different numbers, with commas")
    return tuple(_whole(part, "size", *_SIZES) for part in parts)


def _tilt(given: Mapping[str, str]) -> tuple[float, ...] | None:
    if "tilt" not in given:
        return None
    parts = given["tilt"].split(",")
    if len(parts) != 2:
        raise Problem(422, "tilt must be two numbers with a comma between them")
    return tuple(_number(part, "tilt", -1, 1) for part in parts)


def _alternative(given: Mapping[str, str]) -> int:
    if "alternative" in given and "tilt" in given:
        raise Problem(422, "alternative and tilt name the same: send one of them")
    return _whole(given.get("alternative", "1"), "alternative", 1, ALTERNATIVES)


def _format(given: Mapping[str, str], accept: str) -> tuple[str | None, tuple[str, ...]]:
    """Return (the ending of the answer, None for the photo's own; the endings it must not have
    then).
    """
    if "format" in given:
        if given["format"].lower() not in FORMATS:
            raise Problem(422, f"format must be one of {_listed(FORMATS)}")
        return FORMATS[given["format"].lower()], ()
    return accepted(accept) if accept.strip() else (None, ())


def accepted(accept: str) -> tuple[str | None, tuple[str, ...]]:
    """Return what an Accept header (RFC 9110) says of it; raise Problem 406.

    >>> accepted("image/webp;q=0.5, image/png")
    ('.png', ())
    >>> accepted("image/bmp;q=0, */*")
    (None, ('.bmp',))
    """
    weights = dict(map(_weighed, accept.split(",")))
    other = weights.get("image/*", weights.get("*/*", 0.0))
    each = {ending: weights.get(media, other) for ending, media in MEDIA.items()}
    best = max(each.values())
    if best == 0:
        raise Problem(406, f"answers are {_listed(MEDIA.values())}")
    if best == other:
        return None, tuple(ending for ending, weight in each.items() if weight < best)
    endings = {media: ending for ending, media in MEDIA.items()}
    return next(endings[kind] for kind in weights if kind in endings and weights[kind] == best), ()


def _weighed(part: str) -> tuple[str, float]:
    """Return (media type, weight) of a part of an Accept header."""
    weight = _WEIGHT.search(part)
    return part.partition(";")[0].strip().lower(), min(1.0, float(weight[1])) if weight else 1.0
