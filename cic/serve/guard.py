"""Guard every request: who may ask, an id, a line in the log, headers of safety."""

import asyncio
import hmac
import re
import time
import uuid
from collections.abc import Collection
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cic.serve import log, problems
from cic.serve.figures import Figures
from cic.serve.problems import RETRY, Problem

POLICY = (  # what the page may load: itself, and the pictures that it makes
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
EXPOSED = (  # to pages of other sites
    "Cic-Network, Cic-Seconds, Cic-Size, Cic-Notes, Retry-After, X-Request-ID"
)
MOST = 256  # connections
LOCAL = ("localhost", "127.0.0.1", "::1")
SECRET = ("/api/colorize", "/api/preview", "/api/choices", "/metrics")  # what a token is asked for
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([^:\[\]/]+)(?::\d+)?")


class Guard:
    """Middleware around `app`. `routes` are the paths that figures name.

    With a `token`, requests must carry it as a bearer's. With `local` the Host must be this
    machine's, so that no page of another site can have a browser here ask under its own name. Pages
    of other sites may ask only if they are among the `origins`. While the server has more than MOST
    `connections`, requests are refused.
    """

    connections: Collection[object] = ()

    def __init__(
        self,
        app: ASGIApp,
        figures: Figures,
        routes: Collection[str],
        token: str | None = None,
        local: bool = True,
        origins: Collection[str] = (),
    ) -> None:
        self.app, self.figures, self.routes = app, figures, routes
        self.token, self.local, self.origins = token, local, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, headers, status = time.perf_counter(), Headers(scope=scope), 0
        asked = headers.get("x-request-id", "")
        name = asked if _ID.fullmatch(asked) else uuid.uuid4().hex
        origin = headers.get("origin", "")
        scope["cic.request"] = name

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = MutableHeaders(scope=message)
                given.update({**SAFE, "X-Request-ID": name})
                if origin in self.origins:
                    given.update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
                    given["Access-Control-Expose-Headers"] = EXPOSED
                    given["Cross-Origin-Resource-Policy"] = "cross-origin"
            await send(message)

        try:
            response = self._refused(scope, headers, origin) or self.app
            await response(scope, receive, answer)
        except asyncio.CancelledError:  # the server has ended, and waits no longer
            if not status:
                await _problem(problems.stopping(), name)(scope, receive, answer)
        except Exception as error:
            if not isinstance(error, Problem):
                log.defect(error, request=name)
                error = Problem(500, "the server failed; its log says how")
            if not status:
                with suppress(OSError):
                    await _problem(error, name)(scope, receive, answer)
        finally:
            self._log(scope, name, status, time.perf_counter() - begin)

    def _refused(self, scope: Scope, headers: Headers, origin: str) -> Response | None:
        """Return the answer to who may not ask, or asks whether it may; raise Problem."""
        if len(self.connections) > MOST:
            full = RETRY | {"Connection": "close"}
            raise Problem(503, f"more than {MOST} connections: send it again later", full, "busy")
        host = _HOST.fullmatch(headers.get("host", ""))
        if self.local and (not host or (host[1] or host[2]).lower() not in LOCAL):
            raise Problem(421, "this server answers as localhost alone: its host changes that")
        if origin and origin not in self.origins and not _is_own(origin, headers.get("host", "")):
            raise Problem(403, "pages of other sites may not ask: its cors names those that may")
        if scope["method"] == "OPTIONS" and origin in self.origins:
            allowed = {
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-ID",
                "Access-Control-Max-Age": "600",
            }
            return Response(status_code=204, headers=allowed)
        if self.token and scope["path"] in SECRET:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            is_same = hmac.compare_digest(given.strip().encode(), self.token.encode())
            if not is_same or scheme.lower() != "bearer":
                raise Problem(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        return None

    def _log(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        """A line in the log, and a count."""
        route = scope["path"] if scope["path"] in self.routes else "other"
        self.figures.request(route, status)
        log.write(
            request=name,
            client=(scope.get("client") or ["-"])[0],
            method=scope["method"],
            route=route,
            status=status,
            ms=round(seconds * 1000),
        )


def _is_own(origin: str, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}")


def _problem(error: Problem, name: str) -> Response:
    return Response(error.body(name), error.status, error.headers, problems.TYPE)


async def refused(request: Request, error: Exception) -> Response:
    """Return the answer of a Problem, or of a path or a method that there is not."""
    if isinstance(error, HTTPException):
        detail = "there is nothing here" if error.status_code == 404 else f"not {request.method}"
        error = Problem(error.status_code, detail, dict(error.headers or {}))
    assert isinstance(error, Problem)
    return _problem(error, request.scope["cic.request"])
