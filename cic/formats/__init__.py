"""Files of weights in every known format, told by what is in them, not by their names.

`layout` says what a format is; each of the others is a file here. `frameworks` and `caffe` read
what those wrote, without them and without running any code in a file.
"""

import os
from types import MappingProxyType

from cic.checkpoint import CheckpointError
from cic.formats import (
    caffe,
    dlimage,
    eccv16,
    efficientnet,
    features,
    frameworks,
    neutral,
    notes,
    resnet,
    special_resnet,
    special_vgg,
    vgg,
)

NEUTRAL = neutral.FORMAT
_PICKLED = (  # in files of PyTorch and Paddle
    *(eccv16.FORMAT, *features.FORMATS, dlimage.FORMAT, special_vgg.FORMAT, special_resnet.FORMAT),
    *(*vgg.FORMATS, *resnet.FORMATS, efficientnet.FORMAT),
)
FORMATS = (NEUTRAL, *_PICKLED, caffe.FORMAT)


def names():
    """Names that `get` knows."""
    return tuple(form.name for form in FORMATS)


def get(name):
    """The format of that name; raises ValueError for another."""
    for form in FORMATS:
        if form.name == name:
            return form
    raise ValueError(f"no format is called {name!r}; there are {', '.join(names())}")


def load(path):
    """(network, neutral state) from a file of weights; raises CheckpointError, naming the file."""
    found = read(path)
    return found.network, found.state


def read(path, options=MappingProxyType({})):
    """Found of a file in any format; raises CheckpointError, naming it, for anything else.

    `options` of the network say what the arrays of some files do not.
    """
    kind = _kind(path)
    if kind is None:
        return NEUTRAL.read(path)
    arrays, note, name = kind.read_noted(path)
    told = notes.options(note) | options | {"class": name}
    for form in _PICKLED if kind is frameworks else (caffe.FORMAT,):
        if form.recognises(form.bare(arrays)):
            return form.convert(arrays, path, note, told)
    some = ", ".join(list(arrays)[:3]) or "there are none"
    raise CheckpointError(f"{path}: weights of no known network: {some}")


def is_foreign(path):
    """Whether a file is of PyTorch, Paddle or Caffe; one that cannot be read is not."""
    return _kind(path) is not None


def _kind(path):
    """The module that reads a file, None for the checkpoints' own."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if start[8:] == b"{" and length <= os.fstat(file.fileno()).st_size:
                return None
            if frameworks.is_one(start):
                return frameworks
            return caffe if caffe.is_one(file) else None
    except OSError:
        return None  # the checkpoint's reader says why


def suited(suffix, network):
    """The format of files that end so, ".pth", which holds `network`; ValueError if none does."""
    reasons = []
    for form in FORMATS:
        if suffix in form.suffixes and network.name in form.networks:
            try:
                form.check_holds(network)
                return form
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError("; ".join(reasons) or f"no format of {network.name} ends in {suffix!r}")
