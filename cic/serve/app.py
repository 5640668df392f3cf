"""The routes: the page, the API, and what a keeper of servers asks for."""

import importlib.resources
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import cic
from cic.photos import kinds
from cic.serve import description, figures, options
from cic.serve.crew import Crew
from cic.serve.figures import Figures
from cic.serve.guard import Guard, refused
from cic.serve.problems import Problem
from cic.serve.tasks import Task
from cic.serve.uploads import Uploads
from cic.serve.worker import Ready

PAGE = {  # file of `page`: its media type
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{
        f"{name}.js": "text/javascript; charset=utf-8"
        for name in ("main", "colour", "files", "server", "texts", "zip")
    },
}
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, pixels of a photo (None: any number)."""

    bytes: int
    pixels: int | None


class Service:
    """What answers: a Crew that is Ready, behind Limits."""

    def __init__(self, crew: Crew, ready: Ready, limits: Limits) -> None:
        self.crew, self.ready, self.limits = crew, ready, limits
        self.uploads, self.figures = Uploads(limits.bytes), Figures()

    async def colorize(self, request: Request) -> Response:
        """The photo of a request, in colours."""
        wanted = options.read(request.query_params.multi_items(), request.headers.get("accept", ""))
        return await self._done(
            request, changes=wanted.changes, tilt=wanted.tilt, ending=wanted.ending
        )

    async def preview(self, request: Request) -> Response:
        """What the page needs to show it: see `tasks.preview`."""
        return await self._done(request, preview=True)

    async def _done(self, request: Request, **wanted: Any) -> Response:
        self.crew.check()
        data = await self.uploads.read(request)
        begin = time.perf_counter()
        body, media, headers = await self.crew.do(Task(data, **wanted))
        self.figures.photo(time.perf_counter() - begin)
        return Response(body, headers={**headers, "Cache-Control": "no-store"}, media_type=media)

    async def health(self, request: Request) -> Response:
        """Whether photos are coloured here now."""
        able = self.crew.is_able
        return JSONResponse({"status": "ok" if able else "unable"}, 200 if able else 503)

    async def info(self, request: Request) -> Response:
        """Version, network, limits, formats."""
        return JSONResponse(
            {
                "version": cic.__version__,
                "network": self.ready.network,
                "settings": self.ready.settings,
                "has_alternatives": self.ready.has_distribution,
                "limits": {
                    "bytes": self.limits.bytes,
                    "pixels": self.limits.pixels,
                    "seconds": self.crew.seconds,
                    "queue": self.crew.queue,
                },
                "heic": kinds.has_heif(),
                "formats": list(options.FORMATS),
            }
        )

    async def metrics(self, request: Request) -> Response:
        """Figures for Prometheus."""
        crew = self.crew
        text = self.figures.text(
            photos_waiting=len(crew.waiting),
            workers=len(crew.all),
            workers_busy=crew.busy,
            workers_replaced_total=crew.replaced,
            upload_bytes_held=self.uploads.held,
        )
        return Response(text, media_type=figures.TYPE)

    async def openapi(self, request: Request) -> Response:
        """The API, described for machines."""
        return JSONResponse(description.of(self.limits.bytes))

    def routes(self) -> list[Route]:
        """All that there is."""
        page = importlib.resources.files("cic.serve") / "page"
        files = {name: (page / name).read_bytes() for name in PAGE}

        def file(name: str) -> Endpoint:
            async def answer(request: Request) -> Response:
                kept = {"Cache-Control": "no-cache"}
                return Response(files[name], headers=kept, media_type=PAGE[name])

            return answer

        return [
            Route("/", file("index.html")),
            *(Route(f"/{name}", file(name)) for name in PAGE),
            Route("/api/colorize", self.colorize, methods=["POST"]),
            Route("/api/preview", self.preview, methods=["POST"]),
            Route("/api/info", self.info),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]


def make(
    service: Service,
    token: str | None = None,
    local: bool = True,
    origins: Collection[str] = (),
) -> Guard:
    """The ASGI application of a Service; for the rest see `Guard`."""
    routes = service.routes()
    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, Problem: refused})
    app.router.redirect_slashes = False
    paths = [route.path for route in routes]
    return Guard(app, service.figures, paths, token, local, origins)
