"""safetensors with the names of other projects, as users of PyTorch and Paddle write it."""

from cic.system.typing import StrPath
from cic.weights.checkpoint import META, CheckpointError
from cic.weights.files.groups import Group
from cic.weights.files.read_frameworks import Contents
from cic.weights.files.safetensors_file import SafetensorsFile


def recognises(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is one: a number, and a header of JSON."""
    return start[8:9] == b"{" and not all(32 <= byte < 127 for byte in start[:8])


def is_checkpoint(path: StrPath) -> bool:
    """Return whether a file is a checkpoint of this project: its metadata names a network."""
    with _opened(path) as file:
        return META in file.metadata


def read_groups(path: StrPath) -> Contents:
    """Return the Contents of a file: one Group; raise CheckpointError, naming it, if it is
    damaged.
    """
    try:
        with _opened(path) as file:
            arrays = {name: file.array(name) for name in file.shapes}
    except (OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path}: not weights: {error}") from None
    return Contents([Group("", arrays)], None, None)


def _opened(path: StrPath) -> SafetensorsFile:
    try:
        return SafetensorsFile(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {error}") from None
