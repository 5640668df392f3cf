"""The two frameworks under one contract (see `base`), each imported only when asked for."""

import argparse
import importlib
import importlib.util
import os
from typing import Any

from cic import networks
from cic.colorize import settings
from cic.colorize.colorizer import Colorizer
from cic.system.errors import InputError, MissingError, SettingError
from cic.system.typing import StrPath
from cic.weights import checkpoint, probe, reading

# Backend: the module it needs, and what pip installs for it; in order of preference.
_FRAMEWORKS = {"torch": ("torch", "torch"), "paddle": ("paddle", "paddlepaddle")}
# What the frameworks' launchers set for each process that they start.
_LAUNCHERS = {"TORCHELASTIC_RUN_ID": "torch", "PADDLE_TRAINERS_NUM": "paddle"}


def names() -> tuple[str, ...]:
    """Names that `get` knows, installed or not."""
    return tuple(_FRAMEWORKS)


def available() -> tuple[str, ...]:
    """Names of the backends whose framework is installed here, in order of preference."""
    return tuple(name for name, (module, _) in _FRAMEWORKS.items() if _is_installed(module))


def _is_installed(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.loader is not None  # a mere folder has no loader


def launched() -> str | None:
    """Name of the backend whose launcher started this process, torchrun or Paddle's; or None."""
    return next((name for key, name in _LAUNCHERS.items() if key in os.environ), None)


# Any: a module, which has the names of base.Backend.
def get(name: str | None = None) -> Any:
    """The backend called "torch" or "paddle"; by default the launcher's, or the first available.

    Raises ValueError for an unknown name or one that is not the launcher's, ImportError, saying
    what to install, if there is none.
    """
    if name is None:
        name = launched() or next(iter(available()), None)
        if name is None:
            packages = ", ".join(package for _, package in _FRAMEWORKS.values())
            raise MissingError(f"no backend here: pip install one of {packages}")
    if name not in _FRAMEWORKS:
        raise SettingError(f"no backend is called {name!r}; there are {', '.join(names())}")
    if launched() not in (None, name):
        raise SettingError(f"started by the launcher of {launched()}, which cannot run {name}")
    module, package = _FRAMEWORKS[name]
    if not _is_installed(module):
        raise MissingError(f"backend {name!r} is not installed: pip install {package}")
    return importlib.import_module(f"backends.{name}")


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
    idle = [flag for flag in settings.OF_LOGITS if changes.get(flag) is not None]
    if idle and network.predicts == networks.AB:
        raise InputError(f"{', '.join(idle)}: of no effect on {network}, which gives ab")
    return Colorizer(network, get(backend).predictor(network, state, device), chosen, name)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags with which every tool that runs a network lets the user choose where."""
    parser.add_argument(
        "--backend", choices=names(), help="framework (torch if it is installed, else paddle)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, gpu:1 (%(default)s)")
