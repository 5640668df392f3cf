"""Where a checkpoint comes from: versions, source tree, command, machine, data."""

import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from array import array
from datetime import datetime, timezone
from importlib import import_module
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import ArrayLike

import cic
from cic.system.typing import Json

DRIVER = "/proc/driver/nvidia/version"  # is there where a driver of NVIDIA's runs
SECONDS = 1  # git may take, in a large tree on a slow disk, before it is left out
_MODULES = {"onnx": "onnxruntime"}  # of backends that are called otherwise
SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(cic.__file__)))


def facts(*packages: str) -> dict[str, Json]:
    """Return what a run was made with, a JSON object; `packages` are those to add versions of.

    No path is in it but those in the command's arguments.
    """
    versions = {
        "python": platform.python_version(),
        "cic": cic.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    modules = [_MODULES.get(name, name) for name in packages]
    return {
        "versions": versions | {name: import_module(name).__version__ for name in modules},
        "git": git_state(SOURCES),
        "command": [_program(), *sys.argv[1:]],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def driver() -> str | None:
    """Return the version of NVIDIA's driver (Linux); None without one."""
    try:
        with open(DRIVER, encoding="ascii", errors="replace") as file:
            found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", file.readline())
    except OSError:
        return None
    return found and found[1]


def _program() -> str:
    """Return what was started: a script's name, or that of a package by `python -m`."""
    folder, name = os.path.split(sys.argv[0])
    return os.path.basename(folder) if name == "__main__.py" else name


def git_state(folder: str) -> dict[str, Json] | None:
    """Return {"commit": hash, "dirty": whether a file that git knows differs} of the repository
    there.

    None if `folder` is not the top of a repository (what lies around an installed package is some
    other project's), or git is missing, refuses or takes longer than SECONDS; dirty alone is None
    if only that took too long.
    """
    if not os.path.exists(os.path.join(folder, ".git")):
        return None
    end = time.monotonic() + SECONDS
    commit = _git(folder, end, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(folder, end, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes)}


def _git(folder: str, end: float, *arguments: str) -> str | None:
    """Return the output of a git command that is over by time.monotonic() `end`, or None."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", folder, *arguments],
            env=environment,  # a hook that starts a run points git at its own repository
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(0, end - time.monotonic()),
            check=True,
            text=True,
            errors="replace",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def array_fingerprint(array: ArrayLike) -> str:
    """Return 16 hexadecimal digits of the numbers in an array."""
    return hashlib.blake2b(np.asarray(array, "<f8", order="C"), digest_size=8).hexdigest()


class Listed(Protocol):
    """A list of photos, as far as a fingerprint needs it."""

    names: bytes
    end: "array[int]"
    size: "array[int]"


def fingerprint(photos: Listed) -> str:
    """Return 16 hexadecimal digits of a sources.PhotoList: its photos' names, sizes in shards, and
    order.

    The same wherever the folders and shards lie. The photos themselves are not read: it tells that
    one was added, removed or renamed, not that one was edited.
    """
    digest = hashlib.blake2b(photos.names, digest_size=8)
    for numbers in (photos.end, photos.size):
        digest.update(np.asarray(numbers, "<i8"))
    return digest.hexdigest()
