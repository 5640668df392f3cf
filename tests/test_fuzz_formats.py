"""Files of weights with something broken in them, of every format: refused, or right.

Two formats have a checksum of all that matters, PyTorch's archive and ours: what comes out is what
was written. The others have none, so that a changed number makes a valid file of that number: what
comes out is then what the format's own reader reads of the same file, and a file has one change, as
that reader may mind another which does not matter here.
"""

import pickle
import random

import caffemodel
import colorizers
import numpy as np
import paddle
import pytest
import special_zoo
import torch

from cic import checkpoint, formats, networks
from cic.checkpoint import CheckpointError
from cic.initialize import initialize

MUTATIONS = 1000  # of each file
SMALL = (8,) * 8  # channels
NETWORK = networks.get("cic", width=0.01)
META = checkpoint.network_meta(NETWORK) | {"colorize": {"size": 128, "temperature": 0.5}}


class ArraysOnly(pickle.Unpickler):
    """pickle's own reader of NumPy's arrays and of nothing else."""

    def find_class(self, module, name):
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        raise ValueError(f"{module}.{name}")


def read_paddle(path):
    with open(path, "rb") as file:
        return {n: a for n, a in ArraysOnly(file).load().items() if isinstance(a, np.ndarray)}


def read_torch(path):
    return {n: a.numpy() for n, a in torch.load(path, weights_only=True).items()}


def read_caffe(path):
    net = caffemodel.net_parameter().FromString(path.read_bytes())
    return {
        f"{layer.name}.{place}": np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim))
        for layer in net.layer
        for place, blob in enumerate(layer.blobs)
    }


def write_own(path):
    checkpoint.save(path, initialize(NETWORK), META)


def write_note(path):
    formats.get("eccv16").save(path, NETWORK, initialize(NETWORK), META)


def write_torch(path, new=True):
    net = colorizers.eccv(channels=SMALL)
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=new)


def write_paddle(path):
    net = colorizers.PaddleColorModel(SMALL)
    paddle.save(net.state_dict(), str(path))


def write_vgg(path):
    network = networks.get("vgg16", width=0.002, classes=3)
    formats.get("paddle-vision").save(path, network, initialize(network), {})


def write_special(path, new=True):
    torch.manual_seed(0)
    net = special_zoo.seeded(special_zoo.VGG16FC(2, 0.01, 3, 32))
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=new)


def write_whole(path):
    torch.manual_seed(0)
    torch.save(special_zoo.seeded(special_zoo.ResNet(18, 1, "batch", 0.01, 3, 2, False)), path)


def write_dlimage(path):
    torch.save(colorizers.fill(colorizers.Deploy(SMALL)).state_dict(), path)


def write_resnet(path):
    network = networks.get("resnet", depth=18, width=0.01, classes=3)
    formats.get("paddle-vision-resnet").save(path, network, initialize(network), {})


def write_caffe(path):
    path.write_bytes(caffemodel.encoded(caffemodel.layers(caffemodel.network(channels=SMALL))))


FILES = {  # {name: (writer, the format's own reader if it has no checksum)}
    "neutral": (write_own, None),
    "eccv16": (write_torch, None),
    "eccv16 with our note": (write_note, None),
    "eccv16 before 1.6": (lambda path: write_torch(path, new=False), read_torch),
    "paddle-cic": (write_paddle, read_paddle),
    "paddle-vision with our note": (write_vgg, read_paddle),
    "dlimage": (write_dlimage, None),
    "zhaoyuzhi-vgg": (write_special, None),
    "zhaoyuzhi-vgg before 1.6": (lambda path: write_special(path, new=False), read_torch),
    "zhaoyuzhi-resnet, a module": (write_whole, None),
    "paddle-vision-resnet with our note": (write_resnet, read_paddle),
    "caffe": (write_caffe, read_caffe),
}


def mutated(whole, draw, most):
    """The bytes with 1 to `most` changes, mainly near the ends, where the structure is."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, most)):
        near = draw.choice((200, 2000, 20_000, len(data)))
        place = min(draw.randrange(near), len(data) - 1)
        if draw.random() < 0.5:
            place = len(data) - 1 - place
        kind = draw.randrange(5)
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[place] = draw.randrange(256)
        elif kind == 2:
            del data[place : place + draw.choice((1, 4, 100))]
        elif kind == 3:
            data[place:place] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 4))))
        else:
            data[place:place] = data[place : place + draw.choice((1, 8, 200))]
        if not data:
            break
    return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.03 else data)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
        for name in one
    )


def right(found, whole, path, reader):
    """Whether what was read of a changed file is what was written, or what its own reader reads."""
    facts = (found.network, found.meta) == (whole.network, whole.meta)
    if facts and same(found.state, whole.state):
        return True
    if "ported" in found.meta and "ported" not in whole.meta:  # the note is gone
        return same(found.arrays, whole.arrays)
    if not reader:
        return False
    own = reader(path)
    return all(np.array_equal(array, own[name]) for name, array in found.arrays.items())


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in a text of pickle's protocol 0
@pytest.mark.parametrize("name", FILES)
def test_what_is_broken_is_refused_or_read_rightly(tmp_path, name):
    write, reader = FILES[name]
    path, draw = tmp_path / "weights", random.Random(name)
    write(path)
    data, whole = path.read_bytes(), formats.read(path)
    refused = 0
    for number in range(MUTATIONS):
        path.write_bytes(mutated(data, draw, most=1 if reader else 4))
        try:
            found = formats.read(path)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
            refused += 1
            continue
        assert right(found, whole, path, reader), f"{name}: change {number}"
    assert 100 < refused < MUTATIONS  # neither is everything refused, nor nothing
