"""What is answered when something is wrong: problem details (RFC 9457), and which status."""

import json
import re
from http import HTTPStatus
from typing import NamedTuple

from cic.colorize.colorizer import NotFinite
from cic.colorize.hints import Outside
from cic.photos.images import PhotoError
from cic.serve import log
from cic.system import errors
from cic.system.text import said

TYPE = "application/problem+json"
RETRY = {"Retry-After": "2"}  # seconds: about a photo's time
_NAMED = re.compile(r"^'the photo': ")
_FLAG = re.compile(r": --max_pixels .*")  # whoever sends a photo does not start the server


class Problem(Exception):
    """An answer that is not what was asked for: status, and a sentence for a person."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def body(self, request: str) -> bytes:
        """Problem details with the id of the request."""
        title = HTTPStatus(self.status).phrase
        return json.dumps(
            {"title": title, "status": self.status, "detail": self.detail, "request": request}
        ).encode()


def stopping() -> Problem:
    """What is answered from when the server is told to end."""
    return Problem(503, "the server is stopping", RETRY)


class Failure(NamedTuple):
    """A Problem on its way between two processes."""

    status: int
    detail: str


def failure(error: BaseException) -> Failure:
    """What is answered to a photo that brought out an error. No path of this machine is in it.

    A defect keeps its traceback, in the log.
    """
    if isinstance(error, Outside):
        return Failure(422, said(error))
    if isinstance(error, PhotoError) and not isinstance(error, NotFinite):
        detail = _FLAG.sub("", _NAMED.sub("", said(error)))
        if detail.startswith("too large"):
            return Failure(413, detail)
        return Failure(400 if error.kind in ("damaged", "truncated") else 415, detail)
    if isinstance(error, (errors.SettingError, errors.InputError)):
        return Failure(422, said(error))
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and errors.is_expected(error)
    ):
        return Failure(413, "too large for the memory there is")
    log.defect(error)
    return Failure(500, "the server failed on this photo; its log says how")
