"""Read the body of a request into memory, within bounds of size and of time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from cic.serve.problems import RETRY, Problem, stopping

GRACE = 10.0  # seconds after which a body must have come at RATE
RATE = 20_000  # bytes a second
PARTS = 16  # of a form
HEADERS = 8192  # bytes of those of a part
_PHOTO = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")  # curl's


class Upload(NamedTuple):
    """An upload: a photo, and the hints of a form as they are, None without."""

    photo: bytes
    hints: bytes | None = None


class Uploads:
    """Reader of bodies of up to `most` bytes; all bodies on their way together may take 4 times
    that.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self.coming: set[asyncio.Future[bytes]] = set()  # what bodies are waited for
        self.is_stopping = False

    def stop(self) -> None:
        """Refuse all bodies, also those that are on their way."""
        self.is_stopping = True
        for one in self.coming:
            one.cancel()

    async def read(self, request: Request) -> Upload:
        """Return the Upload of a request: a photo as its body, or a form (see `of_form`); raise
        Problem.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        form = kind == b"multipart/form-data"
        if not form and kind and not kind.decode("latin-1").startswith(_PHOTO):
            raise Problem(415, "send a photo as the body, as image/*, or in a multipart form")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "send the photo as it is, without Content-Encoding")
        self._check(int(request.headers.get("content-length", "0")))
        body = await self._body(request)
        found = of_form(body, options.get(b"boundary", b"")) if form else Upload(body)
        if not found.photo:
            raise Problem(400, "there is no photo in the request", code="no-photo")
        return found

    def _check(self, size: int) -> None:
        if size > self.most:
            raise Problem(413, f"more than {self.most:,} bytes")

    async def _body(self, request: Request) -> bytes:
        body, begin, stream = bytearray(), time.monotonic(), request.stream()
        try:
            while True:
                left = begin + GRACE + len(body) / RATE - time.monotonic()
                try:
                    chunk = await self._next(stream, max(left, 0.001))
                except StopAsyncIteration:
                    return bytes(body)
                self.held += len(chunk)
                body += chunk
                self._check(len(body))
                if self.held > 4 * self.most:
                    raise Problem(429, "too many photos are on their way here", RETRY)
        except asyncio.TimeoutError:  # another one than Python's own before 3.11
            raise Problem(408, "the photo came too slowly", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Problem(400, "the connection ended before the photo did") from None
        finally:
            self.held -= len(body)
            with suppress(RuntimeError):  # the time-out ended it
                await stream.aclose()

    async def _next(self, stream: AsyncIterator[bytes], seconds: float) -> bytes:
        """Return the next bytes of a body; raise TimeoutError, or Problem when the server is to
        end.
        """
        if self.is_stopping:
            raise stopping()
        one = asyncio.ensure_future(anext(stream))
        self.coming.add(one)
        try:
            return await asyncio.wait_for(one, seconds)
        except asyncio.CancelledError:
            if self.is_stopping:
                raise stopping() from None
            raise
        finally:
            self.coming.discard(one)


class _Form:
    """The parts of a form that are used: the first file, and the hints."""

    def __init__(self) -> None:
        self.parts = self.header_bytes = 0
        self.field, self.value = bytearray(), bytearray()
        self.taken: dict[str, bytearray] = {}
        self.to: bytearray | None = None  # what the data of this part are added to

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, a, b: self._header(self.field, data[a:b]),
            "on_header_value": lambda data, a, b: self._header(self.value, data[a:b]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
        }

    def _begin(self) -> None:
        self.parts += 1
        self.header_bytes, self.to = 0, None
        if self.parts > PARTS:
            raise Problem(400, f"a form of more than {PARTS} parts")

    def _header(self, to: bytearray, data: bytes) -> None:
        self.header_bytes += len(data)
        if self.header_bytes > HEADERS:
            raise Problem(400, "a form whose parts have long headers")
        to += data

    def _header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            about = parse_options_header(bytes(self.value))[1]
            kind = "hints" if about.get(b"name") == b"hints" else "photo"
            if kind not in self.taken and (kind == "hints" or b"filename" in about):
                self.to = self.taken[kind] = bytearray()
        self.field.clear()
        self.value.clear()

    def _data(self, data: bytes, begin: int, end: int) -> None:
        if self.to is not None:
            self.to += data[begin:end]


def of_form(body: bytes, boundary: bytes) -> Upload:
    """Return the first file in a multipart form, whatever its name, and the part "hints".

    Raises Problem.
    """
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise Problem(400, "a multipart form that is damaged") from None
    hints = form.taken.get("hints")
    return Upload(bytes(form.taken.get("photo", b"")), None if hints is None else bytes(hints))
