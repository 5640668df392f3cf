"""Check for packages that only some commands need, before any work, and list the versions of
all.
"""

import importlib.util
from collections.abc import Iterator

from cic.system.errors import MissingError

MEASURE = ("matplotlib", "skimage")  # the modules of the extra [measure]
_PIP = {"skimage": "scikit-image"}  # what pip installs, where it is called otherwise
# Packages whose versions decide what comes out.
_TOLD = (
    "numpy", "pillow", "torch", "paddlepaddle", "paddlepaddle-gpu", "onnxruntime",
    "onnxruntime-gpu", "av",
)  # fmt: skip


def need(*modules: str) -> None:
    """Raise MissingError, saying what to install, unless all modules are there.

    None is imported.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(_PIP.get(name, name) for name in missing)
        raise MissingError(f"this needs more than colouring does: pip install {names}")


def installed() -> Iterator[str]:
    """Yield "name version" of those packages that a report of a fault should name.

    None is imported, and those that are not installed are left out.
    """
    from importlib.metadata import PackageNotFoundError, version  # a report's alone: 30 ms

    for name in _TOLD:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
