"""Show a page to colour photos on, and answer an API, on this machine.

cic serve --port 8000
cic serve --port 9000 --workers 2
cic serve --host 0.0.0.0 --token_file token.txt

The page is at http://127.0.0.1:8000/, the API at /api/colorize: a photo in, a photo out. Photos
stay in memory, and no longer than they are worked on. Ctrl-C and SIGTERM end the server once the
photos at work are done. It speaks plain HTTP: for others than this machine put a proxy with TLS in
front. Needs pip install starlette uvicorn python-multipart.
"""

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from functools import partial

import backends
from cic.colorize import settings
from cic.system import console
from cic.system.errors import InputError, MissingError
from cic.system.limits import pixel_limit
from cic.system.regular import open_regular

MEGA = 1_000_000
SHORTEST = 16  # characters of a token


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "serve")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine)")
    add("--port", type=port, default=8000, help="0: any that is free (%(default)s)")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    settings.add_flags(parser)
    workers = "processes that colour, each with its network (%(default)s)"
    add("--workers", type=console.positive, default=1, help=workers)
    add("--queue", type=console.natural, default=8, help="photos that may wait (%(default)s)")
    add(
        "--timeout",
        type=console.seconds,
        default=60.0,
        metavar="S",
        help="seconds that a photo may take (%(default)s)",
    )
    add(
        "--max_megabytes",
        type=console.positive,
        default=64,
        metavar="N",
        help="most that a photo may have as a file (%(default)s)",
    )
    token = "file with a token that the API asks for"
    add("--token_file", "--token-file", metavar="FILE", help=token)
    add(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="site whose pages may ask, as https://example.org; several times for several (none)",
    )
    console.add_max_pixels(parser)
    return parser


def port(text: str) -> int:
    """argparse type: a port's number."""
    number = console.natural(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text} is above 65535")
    return number


def token_of(path: str | None) -> str | None:
    """The token in a file, None if there is none; raises InputError if it is easily guessed."""
    if path is None:
        return None
    with open_regular(path) as file:
        token = file.read(4096).decode("ascii", "replace").strip()
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise InputError(f"{path}: a token has {SHORTEST} characters or more, and no space")
    return token


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    try:  # optional: the extra [serve]
        from cic.serve import app, running
        from cic.serve.crew import Crew
    except ModuleNotFoundError as error:
        packages = "pip install starlette uvicorn python-multipart"
        raise MissingError(f"a server needs {error.name}: {packages}") from None
    token, local = token_of(args.token_file), is_local(args.host)
    if not (local or token):
        warning = "without --token_file anybody who reaches this address can use it"
        print(f"warning: {warning}", file=sys.stderr)
    listening = running.listen(args.host, args.port)
    changes = settings.changes(args)
    make = partial(backends.colorizer, args.weights, args.backend, args.device, **changes)
    crew = Crew(make, args.workers, args.queue, args.timeout, pixel_limit())
    ready = crew.start()
    service = app.Service(crew, ready, app.Limits(args.max_megabytes * MEGA, pixel_limit()))
    host = f"[{args.host}]" if ":" in args.host else args.host
    print(
        f"http://{host}:{listening.getsockname()[1]}/ ({ready.network}); Ctrl-C ends it", flush=True
    )
    running.run(app.make(service, token, local, args.cors), service, listening)
    return 0
