"""Write figures to files."""

import io
import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from cic.system.arrays import Bytes
from cic.system.files import replacing


def dumps(record: Any) -> str:
    """Return the JSON of dicts, sequences, NumPy arrays and numbers; what is not finite becomes
    null.

    A list of numbers takes one line.
    """
    text = json.dumps(_plain(record), indent=2, allow_nan=False)
    return re.sub(r"\[[-+.,\deE\s]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def png(picture: Bytes) -> bytes:
    """Return the bytes of a PNG of a picture (H, W, 3) uint8."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def save(folder: str, contents: Mapping[str, str | bytes]) -> None:
    """Write {name: bytes or text} into a folder, each file whole or not at all."""
    write({os.path.join(folder, name): content for name, content in contents.items()})


def write(contents: Mapping[str, str | bytes]) -> None:
    """Write {path: bytes or text}, each file whole or not at all."""
    for path, content in contents.items():
        data = content.encode() if isinstance(content, str) else content
        with replacing(path) as fresh, open(fresh, "wb") as file:
            file.write(data)
