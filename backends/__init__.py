"""Two frameworks and a runner under one contract (see `base`), each imported only when asked for.

PyTorch and PaddlePaddle train and run networks, ONNX Runtime runs them.
"""

import argparse
import gc
import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from cic.colorize import settings
from cic.colorize.colorizer import Colorizer
from cic.system.errors import MissingError, SettingError
from cic.system.typing import StrPath
from cic.weights import checkpoint, probe, reading

if TYPE_CHECKING:
    from backends.base import Backend, Runner


class _Kind(NamedTuple):
    """The module that a backend needs, what pip installs for it, and whether it trains."""

    module: str
    package: str
    trains: bool


_KINDS = {  # in order of preference
    "torch": _Kind("torch", "torch", True),
    "paddle": _Kind("paddle", "paddlepaddle", True),
    "onnx": _Kind("onnxruntime", "onnxruntime", False),
}
# What the frameworks' launchers set for each process that they start.
_LAUNCHERS = {"TORCHELASTIC_RUN_ID": "torch", "PADDLE_TRAINERS_NUM": "paddle"}


def names(trains: bool = False) -> tuple[str, ...]:
    """Return the names that `get` knows, installed or not; if `trains`, of those that train."""
    return tuple(name for name, kind in _KINDS.items() if kind.trains or not trains)


def available(trains: bool = False) -> tuple[str, ...]:
    """Return the names of the backends that are installed here, in order of preference; or that
    train.
    """
    return tuple(name for name in names(trains) if _is_installed(_KINDS[name].module))


def _is_installed(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.loader is not None  # a mere folder has no loader


def launched() -> str | None:
    """Name of the backend whose launcher started this process, torchrun or Paddle's; or None."""
    return next((name for key, name in _LAUNCHERS.items() if key in os.environ), None)


@overload
def get(name: Literal["torch", "paddle"], trains: bool = False) -> "Backend": ...
@overload
def get(name: str | None = None, *, trains: Literal[True]) -> "Backend": ...
@overload
def get(name: str | None = None, trains: bool = False) -> "Runner": ...
def get(name: str | None = None, trains: bool = False) -> Any:
    """Return the backend called "torch", "paddle" or "onnx"; by default the launcher's, or the
    first.

    If `trains`, it is one that trains. Raises ValueError for an unknown name and, if `trains`, for
    one that only runs networks or is not the launcher's; ImportError, saying what to install, if
    there is none.
    """
    if name is None:
        name = launched() or next(iter(available(trains)), None)
        if name is None:
            packages = ", ".join(_KINDS[name].package for name in names(trains))
            what = "framework" if trains else "backend"
            raise MissingError(f"no {what} here: pip install one of {packages}")
    if name not in _KINDS:
        raise SettingError(f"no backend is called {name!r}; there are {', '.join(names())}")
    kind = _KINDS[name]
    if trains and not kind.trains:
        raise SettingError(
            f"{name} runs networks and trains none: take backend {' or '.join(names(trains))}"
        )
    if trains and launched() not in (None, name):
        raise SettingError(f"started by the launcher of {launched()}, which cannot train {name}")
    if not _is_installed(kind.module):
        raise MissingError(f"backend {name!r} is not installed: pip install {kind.package}")
    with _nothing_collected():
        return importlib.import_module(f"backends.{name}")


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """A context without garbage collection: an import leaves none, and is searched for it often.

    Of PyTorch's that is a tenth.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def colorizer(
    weights: StrPath | None = None, backend: str | None = None, device: str = "auto", **changes: Any
) -> Colorizer:
    """A callable that colorizes photos: uint8 array or Pillow image -> (H, W, 3) uint8 sRGB.

    `weights` is a checkpoint's path, by default the bundled weights; `backend` a name, by default
    an installed one; `device` "auto", "cpu" or "gpu". `changes` are settings to take in place of
    the weights' own, such as saturation=1.2 (see `settings.Settings.but`).

    >>> import numpy as np
    >>> colorizer()(np.full((40, 60), 120, np.uint8)).shape
    (40, 60, 3)
    """
    network, state, meta = reading.load_weights(weights)
    name = reading.default_path() if weights is None else os.fspath(weights)
    if weights is not None:
        probe.check(network, state, name)
    try:
        chosen = settings.of_weights(meta).but(**changes)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{name}: {error}") from None
    settings.refuse_idle(network, changes)
    return Colorizer(network, get(backend).predictor(network, state, device), chosen, name)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags with which every tool that runs a network lets the user choose where."""
    order = ", else ".join(names())
    parser.add_argument(
        "--backend", choices=names(), help=f"what runs the network (the first installed: {order})"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, gpu:1 (%(default)s)")
