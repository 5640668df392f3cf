"""Answers when something is wrong: problem details (RFC 9457) and their status."""

import json
import re
from http import HTTPStatus
from typing import NamedTuple

from cic.colorize.colorizer import NotFinite
from cic.colorize.hints import Outside
from cic.photos.damage import NO_PHOTO
from cic.photos.images import PhotoError
from cic.serve import log
from cic.system import errors
from cic.system.text import message_of

TYPE = "application/problem+json"
CODES = {  # what is wrong, in a word that stays: of a status, where no other is given
    400: "bad-request", 401: "token", 403: "forbidden", 404: "not-found", 405: "bad-method",
    406: "bad-format", 408: "slow", 413: "too-large", 415: "unsupported", 421: "bad-host",
    422: "bad-parameter", 429: "busy", 500: "failed", 503: "stopping",
}  # fmt: skip
RETRY = {"Retry-After": "2"}  # seconds: about a photo's time
_NAMED = re.compile(r"^'the photo': ")
_FLAG = re.compile(r": max_pixels .*")  # whoever sends a photo does not start the server


class Problem(Exception):
    """A refusal or failure as an answer: status, a sentence for a person, a code."""

    def __init__(
        self, status: int, detail: str, headers: dict[str, str] | None = None, code: str = ""
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}
        self.code = code or CODES.get(status, "failed")

    def body(self, request: str) -> bytes:
        """Return the problem details with the id of the request."""
        found = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request": request,
        }
        return json.dumps(found).encode()


def stopping() -> Problem:
    """Return the answer once the server has been told to end."""
    return Problem(503, "the server is stopping", RETRY)


class Failure(NamedTuple):
    """A Problem on its way between two processes."""

    status: int
    detail: str
    code: str = ""


def failure(error: BaseException) -> Failure:
    """Return the answer for a photo that brought out an error. It has no path of this machine.

    A defect keeps its traceback, in the log.
    """
    if isinstance(error, Outside):
        return Failure(422, message_of(error))
    if isinstance(error, PhotoError) and not isinstance(error, NotFinite):
        detail = _FLAG.sub("", _NAMED.sub("", message_of(error)))
        if detail.startswith("too large"):
            return Failure(413, detail)
        if error.kind not in ("damaged", "truncated"):
            return Failure(415, detail)
        return Failure(400, detail, "not-a-photo" if detail == NO_PHOTO else error.kind)
    if isinstance(error, (errors.SettingError, errors.InputError)):
        return Failure(422, message_of(error))
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and errors.is_expected(error)
    ):
        return Failure(413, "too large for the memory there is")
    log.defect(error)
    return Failure(500, "the server failed on this photo; its log says how")
