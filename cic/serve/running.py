"""Run the server: listen, answer, and end on a signal."""

import ipaddress
import socket
import sys
import time
from collections.abc import Callable, Collection
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cic.colorize.colorizer import Colorizer
from cic.serve import app, log
from cic.serve.app import Limits, Service
from cic.serve.crew import Crew
from cic.serve.guard import Guard
from cic.system.errors import InputError
from cic.system.limits import pixel_limit
from cic.system.progress import Callback, tell
from cic.system.regular import open_regular

MEGA = 1_000_000
SHORTEST = 16  # characters of a token

GOODBYE = 20  # seconds in which the photos at work are finished
SENDING = 5  # seconds more, in which clients take the answers
HEADER_BYTES = 16_384
HEADERS_WITHIN = 10.0  # seconds, from a connection or the answer before


class Server(uvicorn.Server):
    """A server that tells its Service when it is to end, and closes connections that only wait.

    uvicorn waits for ever for the headers of a request. It also refuses connections from the first
    moment of its end; this server answers them until the photos at work are finished.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.until: float | None = None  # the end waits so long for photos
        self.since: dict[H11Protocol, float] = {}  # when a connection began to ask for nothing

    async def on_tick(self, counter: int) -> bool:
        """Do what is done ten times a second."""
        now = time.monotonic()
        self.service.crew.watch()
        there = cast("set[H11Protocol]", self.server_state.connections)  # `run` asks for h11
        idle = [one for one in there if not one.cycle or one.cycle.response_complete]
        self.since = {one: self.since.get(one, now) for one in idle}
        for one, begin in self.since.items():
            if now - begin > HEADERS_WITHIN:
                one.transport.abort()
        return await super().on_tick(counter) and self._may_end(now)

    def _may_end(self, now: float) -> bool:
        """Return whether no photo is at work any more, or time is up."""
        if self.until is None:
            self.service.stop()
            self.until = now + GOODBYE
        return self.force_exit or not self.service.crew.busy or now > self.until

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse the photos that are still at work, and send all answers."""
        self.service.crew.end()
        await super().shutdown(sockets)


def serve(
    make: Callable[[], Colorizer],
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    workers: int = 1,
    queue: int = 8,
    timeout: float = 60.0,
    max_megabytes: int = 64,
    token_file: str | None = None,
    cors: Collection[str] = (),
    progress: Callback | None = None,
) -> None:
    """Serve the page and the API until Ctrl-C or SIGTERM.

    Each of the `workers` processes calls `make`, which pickle must be able to send there, such as
    `backends.colorizer`. The other settings have the names of the flags of `cic serve`. The address
    and warnings are told to `progress`, by default printed. Raises InputError if there is no such
    address or token, or a process cannot start.
    """
    token, local = read_token(token_file), is_local(host)
    if not (local or token):
        line = "warning: without token_file anybody who reaches this address can use it"
        tell(line, progress, sys.stderr)
    listening = listen(host, port)
    crew = Crew(make, workers, queue, timeout, pixel_limit())
    ready = crew.start()
    service = Service(crew, ready, Limits(max_megabytes * MEGA, pixel_limit()))
    place = f"[{host}]" if ":" in host else host
    line = f"http://{place}:{listening.getsockname()[1]}/ ({ready.network}); Ctrl-C ends it"
    tell(line, progress)
    sys.stdout.flush()
    run(app.make(service, token, local, cors), service, listening)


def read_token(path: str | None) -> str | None:
    """Return the token in a file, None without a file; raise InputError if it is easy to guess."""
    if path is None:
        return None
    with open_regular(path) as file:
        token = file.read(4096).decode("ascii", "replace").strip()
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise InputError(f"{path}: a token has {SHORTEST} characters or more, and no space")
    return token


def is_local(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Open a socket at that place; raise InputError if it is taken or does not exist."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(kind)
    if sys.platform != "win32":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # who comes before the first photo can be taken waits
    except OSError as error:
        listening.close()
        reason = error.strerror or error
        raise InputError(f"host {host}, port {port}: {reason}: choose another") from None
    return listening


def run(guarded: Guard, service: Service, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; then refuse what waits, and finish what is at work."""
    config = uvicorn.Config(
        guarded,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=SENDING,
    )
    log.install()
    server = Server(config, service)
    guarded.connections = server.server_state.connections
    try:
        server.run(sockets=[listening])
    except (KeyboardInterrupt, SystemExit):  # it hands the signal on once all is done
        if not server.should_exit:
            raise
    finally:
        service.crew.end()
