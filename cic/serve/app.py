"""The routes: the page, the API, and what those who run servers ask for."""

import importlib.resources
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

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
from cic.serve.problems import RETRY, Problem
from cic.serve.tasks import PhotoWanted, PreviewWanted, Question, Wanted
from cic.serve.uploads import Uploads
from cic.serve.worker import Ready

TYPES = {  # ending of a file of `page`: its media type
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
INDEX = "index.html"
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, pixels of a photo (None: any number)."""

    bytes: int
    pixels: int | None


class Service:
    """The service that answers: a Crew that is Ready, behind Limits."""

    def __init__(self, crew: Crew, ready: Ready, limits: Limits) -> None:
        self.crew, self.ready, self.limits = crew, ready, limits
        self.uploads, self.figures = Uploads(limits.bytes), Figures()

    def stop(self) -> None:
        """Refuse all photos but those at work."""
        self.crew.stop()
        self.uploads.stop()

    async def colorize(self, request: Request) -> Response:
        """The photo of a request, in colours."""
        accept = ", ".join(request.headers.getlist("accept"))
        pairs = request.query_params.multi_items()
        return await self._done(request, options.colours(pairs, accept))

    async def preview(self, request: Request) -> Response:
        """What the page needs to show it: see `preview.preview`."""
        options.nothing(request.query_params.multi_items())
        return await self._done(request, PreviewWanted())

    async def choices(self, request: Request) -> Response:
        """The most probable colours of a place."""
        return await self._done(request, options.choices(request.query_params.multi_items()))

    async def _done(self, request: Request, wanted: Wanted) -> Response:
        self.crew.check()
        photo, hints = await self.uploads.read(request)
        if hints is not None:
            if not isinstance(wanted, PhotoWanted) or "hints" in request.query_params:
                raise Problem(422, "hints: once, and of /api/colorize alone")
            wanted = wanted._replace(hints=options.hints(hints))
        begin = time.perf_counter()
        body, media, headers = await self.crew.do(Question(photo, wanted))
        self.figures.photo(time.perf_counter() - begin)
        return Response(body, headers={**headers, "Cache-Control": "no-store"}, media_type=media)

    async def health(self, request: Request) -> Response:
        """Whether photos are coloured here now."""
        if self.crew.is_able:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unable"}, 503, RETRY)

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
        return JSONResponse(description.openapi(self.limits.bytes))

    def routes(self) -> list[Route]:
        """All that there is."""
        page = importlib.resources.files("cic.serve") / "page"
        files = {path.name: path.read_bytes() for path in page.iterdir()}

        def file(name: str) -> Endpoint:
            async def answer(request: Request) -> Response:
                kept = {"Cache-Control": "no-cache"}
                media = TYPES[name.rpartition(".")[2]]
                return Response(files[name], headers=kept, media_type=media)

            return answer

        return [
            Route("/", file(INDEX)),
            *(Route(f"/{name}", file(name)) for name in files),
            Route("/api/colorize", self.colorize, methods=["POST"]),
            Route("/api/preview", self.preview, methods=["POST"]),
            Route("/api/choices", self.choices, methods=["POST"]),
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
