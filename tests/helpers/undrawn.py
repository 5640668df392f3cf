"""Measure without drawing charts, which is most of what a few small photos take.

python tests/helpers/undrawn.py tools/evaluate.py --image_dir photos

The files of the charts are there, of one pixel each. It suits a test that looks at figures; of
every command that draws, some other looks at its charts.
"""

import contextlib
import io
import os
import runpy
import sys
from unittest import mock

from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = "metric.charts.png"


def png(drawn, dpi=0):
    """Bytes of a PNG of one pixel, whatever the figure."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "png")
    return file.getvalue()


@contextlib.contextmanager
def charts():
    """Draw no chart in this process."""
    with mock.patch(NAME, png):
        yield


if __name__ == "__main__":
    command = sys.argv[1:]
    module = command[0] == "-m"
    sys.argv, sys.path[0] = command[module:], ROOT
    with charts():
        run = runpy.run_module if module else runpy.run_path
        run(sys.argv[0], run_name="__main__", **({"alter_sys": True} if module else {}))
