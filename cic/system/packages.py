"""Packages that only some commands need: asked for before any work, named if they are missing."""

import importlib.util

from cic.system.errors import MissingError

MEASURE = ("matplotlib", "skimage")  # the modules of the extra [measure]
_PIP = {"skimage": "scikit-image"}  # what pip installs, where it is called otherwise


def need(*modules: str) -> None:
    """Raise MissingError, saying what to install, unless all modules are there.

    None is imported.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(_PIP.get(name, name) for name in missing)
        raise MissingError(f"this needs more than colouring does: pip install {names}")
