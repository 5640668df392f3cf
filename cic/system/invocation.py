"""How the user starts commands: `cic NAME`, or in a clone as files of `tools` and `metric`."""

import os
import re
import sys

TOOLS = {  # command: the file of `tools` that starts it in a clone
    **{name: name for name in ("colorize", "serve", "watch", "test", "train")},
    **{name: name for name in ("evaluate", "frontier")},
    "invalid": "get_invalid_images",
    "prepare": "prepare_photos",
    "prior": "estimate_prior",
    "plot": "plot_log",
    "port": "port_weights",
    "release": "release_weights",
}
MODULES = ("acc", "auc", "compare", "report")  # commands that `python -m metric.NAME` starts
_COMMAND = re.compile(rf"\bcic ({'|'.join([*TOOLS, *MODULES])})\b")


def in_clone() -> bool:
    """Return whether this program was started as a file of `tools`, or of `metric`."""
    path, _ = os.path.splitext(os.path.abspath(sys.argv[0]))
    folder, name = os.path.basename(os.path.dirname(path)), os.path.basename(path)
    return name in {"tools": {*TOOLS.values(), "demo"}, "metric": MODULES}.get(folder, ())


def named(command: str) -> str:
    """Return what the user calls a command in a sentence: "cic prepare" or
    "tools/prepare_photos.py".
    """
    if not in_clone():
        return f"cic {command}"
    return f"tools/{TOOLS[command]}.py" if command in TOOLS else f"metric.{command}"


def typed(command: str) -> str:
    """Return what the user types to start a command: "cic prepare", "python
    tools/prepare_photos.py".
    """
    if not in_clone():
        return f"cic {command}"
    return f"python {'' if command in TOOLS else '-m '}{named(command)}"


def program(command: str) -> str:
    """Return what stands before a command's flags in its help: "cic auc", "tools/train.py"."""
    return typed(command).removeprefix("python ") if command in TOOLS else typed(command)


def translated(text: str) -> str:
    """Return a text that says "cic NAME" of commands, as the user calls them.

    The lines of its second paragraph are examples: they begin with what the user types.
    """

    def called(found: re.Match[str]) -> str:
        return named(found[1])

    def begun(found: re.Match[str]) -> str:
        at_start = found.start() == 0 or found.string[found.start() - 1] == "\n"
        return typed(found[1]) if at_start else named(found[1])

    parts = text.split("\n\n")
    return "\n\n".join(
        _COMMAND.sub(begun if number == 1 else called, part) for number, part in enumerate(parts)
    )
