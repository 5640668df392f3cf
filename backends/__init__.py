"""The two frameworks under one contract (see `base`), each imported only when asked for."""

import importlib
import importlib.util

_NAMES = {"torch": "torch", "paddle": "paddlepaddle"}  # import name: what pip installs


def available():
    """Names of the backends whose framework is installed here, in order of preference."""
    return tuple(name for name in _NAMES if importlib.util.find_spec(name))


def get(name=None):
    """The backend called "torch" or "paddle"; by default the first that is available.

    Raises ValueError for an unknown name, ImportError, saying what to install, if there is none.
    """
    if name is None:
        name = next(iter(available()), None)
        if name is None:
            raise ImportError(f"no backend here: pip install one of {', '.join(_NAMES.values())}")
    if name not in _NAMES:
        raise ValueError(f"no backend is called {name!r}; there are {', '.join(_NAMES)}")
    if not importlib.util.find_spec(name):
        raise ImportError(f"backend {name!r} is not installed: pip install {_NAMES[name]}")
    return importlib.import_module(f"backends.{name}")


def colorizer(weights=None, backend=None, device="auto"):
    """A callable that colorizes photos: uint8 array or Pillow image -> (H, W, 3) uint8 sRGB.

    `weights` is a checkpoint's path, by default the bundled weights; `backend` a name, by default
    an installed one; `device` "auto", "cpu" or "gpu".
    """
    from cic import checkpoint, colorize

    network, state, meta = checkpoint.load_weights(weights)
    predict = get(backend).predictor(network, state, device)
    return colorize.Colorizer(network, predict, **meta.get("colorize", {}))
