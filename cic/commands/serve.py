"""Show a page to colour photos on, and answer an API, on this machine.

cic serve --port 8000
cic serve --port 9000 --workers 2
cic serve --host 0.0.0.0 --token_file token.txt

The page is at http://127.0.0.1:8000/, the API at /api/colorize: a photo in, a photo out. Photos
stay in memory, and only while they are worked on. Ctrl-C and SIGTERM end the server once the photos
at work are done. It speaks plain HTTP: to serve other machines, put a proxy with TLS in front.
Needs pip install starlette uvicorn python-multipart.
"""

import argparse
from collections.abc import Sequence
from functools import partial

import backends
from cic.colorize import settings
from cic.system import console
from cic.system.errors import MissingError


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


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    try:  # optional: the extra [serve]
        from cic.serve import running
    except ModuleNotFoundError as error:
        packages = "pip install starlette uvicorn python-multipart"
        raise MissingError(f"a server needs {error.name}: {packages}") from None
    changes = settings.changes(args)
    running.serve(
        partial(backends.colorizer, args.weights, args.backend, args.device, **changes),
        args.host,
        args.port,
        workers=args.workers,
        queue=args.queue,
        timeout=args.timeout,
        max_megabytes=args.max_megabytes,
        token_file=args.token_file,
        cors=args.cors,
    )
    return 0
