"""What a query may say, checked before the photo is looked at."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cic.serve.problems import Problem
from cic.serve.tasks import MEDIA

_RANGES = {"temperature": (0.01, 100.0), "saturation": (0.0, 10.0)}
_SIZES = (32, 1024)  # pixels: what a short side costs grows with its square
_NAMES = (*_RANGES, "size", "tilt", "format")
FORMATS = {"jpg": ".jpg", "jpeg": ".jpg", "png": ".png", "tif": ".tif", "tiff": ".tif"} | {
    "webp": ".webp",
    "bmp": ".bmp",
}


class Wanted(NamedTuple):
    """Changes of settings, a tilt or None, and the ending of a format or None for the photo's."""

    changes: dict[str, Any]
    tilt: tuple[float, ...] | None
    ending: str | None


def read(query: Iterable[tuple[str, str]], accept: str) -> Wanted:
    """What a query's (name, value) pairs and an Accept header say; raises Problem 422 or 406."""
    pairs = list(query)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Problem(422, "a parameter comes twice")
    if unknown := [name for name in given if name not in _NAMES]:
        raise Problem(
            422, f"there is no parameter {unknown[0][:40]!r}; there are {_listed(_NAMES)}"
        )
    changes: dict[str, Any] = {
        name: _number(given[name], name, *ends) for name, ends in _RANGES.items() if name in given
    }
    if "size" in given:
        changes["size"] = round(_number(given["size"], "size", *_SIZES))
    return Wanted(changes, _tilt(given), _ending(given, accept))


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


def _tilt(given: Mapping[str, str]) -> tuple[float, ...] | None:
    if "tilt" not in given:
        return None
    parts = given["tilt"].split(",")
    if len(parts) != 2:
        raise Problem(422, "tilt must be two numbers with a comma between them")
    return tuple(_number(part, "tilt", -1, 1) for part in parts)


def _ending(given: Mapping[str, str], accept: str) -> str | None:
    if "format" in given:
        if given["format"].lower() not in FORMATS:
            raise Problem(422, f"format must be one of {_listed(FORMATS)}")
        return FORMATS[given["format"].lower()]
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if not accept.strip() or {"*/*", "image/*"} & set(kinds):
        return None
    endings = {media: ending for ending, media in MEDIA.items()}
    for kind in kinds:
        if kind in endings:
            return endings[kind]
    raise Problem(406, f"answers are {_listed(endings)}")
