"""The API for machines: OpenAPI 3.1."""

from typing import Any

import cic
from cic.colorize.hints import MOST
from cic.serve import problems
from cic.serve.options import ALTERNATIVES, FORMATS
from cic.serve.tasks import MEDIA

_STATUSES = {
    400: "No photo, or a damaged one",
    401: "A token is needed",
    408: "The photo came too slowly",
    413: "Too many bytes or pixels",
    415: "A photo of a kind that is not read, or none by its Content-Type",
    422: "A parameter that cannot be",
    429: "The queue is full: see Retry-After",
    503: "Stopping, or the photo took too long",
}

_COLOR = {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}
_NUMBER = {"type": "number", "minimum": 0}
_HINTS = {
    "type": "array",
    "maxItems": MOST,
    "items": {
        "type": "object",
        "required": ["x", "y", "color"],
        "properties": {"x": _NUMBER, "y": _NUMBER, "color": _COLOR, "radius": _NUMBER},
        "additionalProperties": False,
    },
}
_CHOICES = {
    "type": "object",
    "properties": {
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"color": _COLOR, "probability": _NUMBER | {"maximum": 1}},
            },
        }
    },
}


def _parameter(name: str, text: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _problems() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["title", "status", "detail", "code", "request"],
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "what is wrong, in a word that stays"},
            "request": {"type": "string", "description": "as in the header X-Request-ID"},
        },
    }
    content = {problems.TYPE: {"schema": schema}}
    return {str(s): {"description": text, "content": content} for s, text in _STATUSES.items()}


def _post(
    summary: str, content: dict[str, Any], parameters: list[Any], most: int, **more: Any
) -> dict[str, Any]:
    """Return a path that takes a photo of up to `most` bytes, and in a form `more` beside it."""
    photo = {"type": "string", "format": "binary", "maxLength": most}
    form = {"type": "object", "properties": {"photo": photo, **more}}
    return {
        "post": {
            "summary": summary,
            "security": [{}, {"token": []}],
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"image/*": {"schema": photo}, "multipart/form-data": {"schema": form}},
            },
            "responses": {"200": {"description": "Done", "content": content}, **_problems()},
        }
    }


def _get(summary: str, media: str = "application/json") -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "responses": {"200": {"description": "", "content": {media: {}}}},
        }
    }


def openapi(most: int) -> dict[str, Any]:
    """Return the description of an API that takes photos of up to `most` bytes."""
    parameters = [
        _parameter("temperature", "0.01 the likeliest colour, 1 the mean of all", type="number"),
        _parameter("saturation", "factor of all colours, 0 to 10", type="number"),
        _parameter(
            "size",
            "short side that the network sees, pixels: 32 to 1024; of several the mean",
            type="string",
            pattern="^[0-9]+(,[0-9]+){0,3}$",
        ),
        _parameter(
            "alternative",
            "number of a colouring, the most likely first: 1 the usual one",
            type="integer",
            minimum=1,
            maximum=ALTERNATIVES,
        ),
        _parameter("tilt", "of an alternative that /api/preview named: a,b", type="string"),
        {"name": "hints", "in": "query", "content": {"application/json": {"schema": _HINTS}}},
        _parameter("format", "of the answer (the photo's)", type="string", enum=list(FORMATS)),
    ]
    pictures: dict[str, Any] = {media: {} for media in MEDIA.values()}
    data: dict[str, Any] = {"application/json": {}}
    place = [
        _parameter("x", "of a pixel of the upright photo, from the left", type="number"),
        _parameter("y", "from the top", type="number"),
    ]
    for one in place:
        one["required"] = True
    count = _parameter("count", "the most that are wanted (6)", type="integer", maximum=20)
    chosen = {"application/json": {"schema": _CHOICES}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "cic", "version": cic.__version__},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/api/colorize": _post("Colour a photo", pictures, parameters, most, hints=_HINTS),
            "/api/preview": _post("What a page needs to show it", data, [], most),
            "/api/choices": _post("Likely colours of a place", chosen, [*place, count], most),
            "/api/info": _get("Version, network, limits"),
            "/health": _get("Whether photos are coloured here now"),
            "/metrics": _get("Figures", "text/plain"),
        },
    }
