"""The optional log on VisualDL's page: curves, pictures and histograms of a run in training."""

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cic.system.arrays import Array, Bytes
from cic.system.errors import FileError, MissingError


def _log_writer() -> Any:
    """Return VisualDL's LogWriter; raise ImportError or OSError, saying in one line what to do."""
    try:
        from visualdl import LogWriter  # not above: an extra, and its import writes to HOME
    except ImportError as error:
        raise MissingError(f"{error}: pip install visualdl, or leave board out") from None
    except OSError as error:
        raise FileError(
            f"VisualDL keeps its settings in {os.path.expanduser('~/.visualdl')}: {error}: "
            "set HOME to a folder that can be written, or leave board out"
        ) from None
    return LogWriter


class Board:
    """A VisualDL log in `folder`, of a run that starts or goes on at step `start`.

    `visualdl --logdir FOLDER` shows it. Each start has a folder of its own: the page shows only the
    newest log of a folder, and a log that is continued behind half a record, which a kill left,
    cannot be read at all. Use it as a context manager, or `close` it.
    """

    def __init__(self, folder: str, start: int = 0) -> None:
        self.writer = _log_writer()(os.path.join(folder, f"from_step_{start}"))

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scalars(self, step: int, **figures: float) -> None:
        """Add a point to the curve of each figure."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, rgb: Bytes) -> None:
        """Add a picture, (H, W, 3) uint8."""
        self.writer.add_image(name, np.array(rgb), step)  # a copy: it may change a dark one

    def histogram(self, step: int, name: str, values: ArrayLike, edges: Array) -> None:
        """Add the histogram of `values`, any shape, between `edges`, ascending."""
        self.writer.add_histogram(name, np.ravel(values), step, buckets=edges)

    def close(self) -> None:
        """Write what is waiting."""
        self.writer.close()
