"""Colorize photos and films; train, measure and move the networks that do it.

cic colorize old.jpg album film.mp4 -o coloured
cic train --image_dir photos/train --model_path model --recipe compact
cic help evaluate
"""

import argparse
import difflib
import importlib
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

import cic
from cic import commands
from cic.system import console, invocation, packages

COMPLETION = """
`cic help NAME` and `cic NAME --help` explain a command, examples first. For completion by the tab
key, pip install argcomplete, and put into ~/.bashrc (with --shell zsh or fish in theirs):
  eval "$(register-python-argcomplete cic)"
"""


def listing() -> str:
    """Return the commands by what people do, as lines of text."""
    width = max(map(len, commands.NAMES))
    lines = []
    for title, group in commands.GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:{width}}  {text}" for name, text in group.items()]
    return "\n".join(lines).lstrip()


def parser() -> argparse.ArgumentParser:
    """Return the parser of what stands before the command's name."""
    found = console.parser(__doc__, epilog=f"{listing()}\n{COMPLETION}")
    found.prog, found.usage = "cic", "cic [-h] [--version] NAME ..."
    found.add_argument(
        "--version", action=_Version, nargs=0, help="show the versions to report, and exit"
    )
    return found


class _Version(argparse.Action):
    """Prints versions, looked up only when asked for, and ends with status 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(versions())
        parser.exit()


def versions() -> str:
    """Return the versions of cic, and in a second line those of Python, the system and the
    packages.
    """
    others = f"Python {platform.python_version()}", platform.platform(), *packages.installed()
    return f"cic {cic.__version__}\n{', '.join(others)}"


def command(name: str) -> Any:
    """Return the module of a command; ends with status 2, naming the closest, if there is none."""
    if name not in commands.NAMES:
        known = {name: name for name in commands.NAMES}
        known |= {file: name for name, file in invocation.TOOLS.items()}
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {known[close[0]]}?" if close else "`cic --help` lists them"
        parser().exit(2, f"cic: error: no command is called {name!r}: {hint}\n")
    return importlib.import_module(f"cic.commands.{name}")


def complete() -> None:
    """Answer a shell that asks how its line may go on, if argcomplete is there; else do nothing."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete  # optional
    except ImportError:
        return
    whole, typed = parser(), os.environ.get("COMP_LINE", "").split()
    inner = whole.add_subparsers()
    for name in (*commands.NAMES, "help"):
        is_asked = name in typed[1:2] and name != "help"
        parents = [command(name).parser()] if is_asked else []
        under = inner.add_parser(name, parents=parents, add_help=not parents)
        if name == "help":
            under.add_argument("name", choices=commands.NAMES)
    argcomplete.autocomplete(whole)


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run `cic NAME`: the exit status."""
    complete()
    argv = sys.argv[1:] if argv is None else list(argv)
    first = next((n for n, text in enumerate(argv) if not text.startswith("-")), len(argv))
    own, name, rest = argv[:first], argv[first : first + 1], argv[first + 1 :]
    parser().parse_args(own)
    if not name or (name == ["help"] and not rest):
        parser().print_help()
        return 0 if name else 2
    if name == ["help"]:
        command(rest[0]).parser().print_help()
        return 0
    return command(name[0]).main(rest)


def start() -> None:
    """What the console script `cic` runs."""
    console.run(main)


if __name__ == "__main__":
    console.run(main)
