"""Files of weights with something broken in them, of every format: refused, or right.

Two formats have a checksum of all that matters, PyTorch's archive and ours: what comes out is what
was written. The others have none, so that a changed number makes a valid file of that number: what
comes out is then what the format's own reader reads of the same file, and a file has one change, as
that reader may mind another which does not matter here. A file of safetensors without our metadata
has none either.
"""

import pickle
import random
import time
import zipfile

import numpy as np
import paddle
import pytest
import safetensors.torch
import torch

from cic import networks
from cic.networks.initialize import initialize
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats import notes
from helpers import caffemodel, colorizers, special_zoo

pytestmark = pytest.mark.slow

MUTATIONS = 100  # of each file; with 1,000 and other seeds nothing else was found
SMALL = (8,) * 8  # channels
NETWORK = networks.get("cic", width=0.01)
META = checkpoint.network_meta(NETWORK) | {"colorize": {"size": 128, "temperature": 0.5}}


NUMPYS = ("_reconstruct", "_frombuffer", "ndarray", "dtype")


class ArraysOnly(pickle.Unpickler):
    """pickle's own reader of NumPy's arrays and of nothing else."""

    def find_class(self, module, name):
        if module.split(".")[0] == "numpy" and name in NUMPYS:
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


def write_wrapped(path, new=True):
    arrays = {f"module.{n}": a for n, a in colorizers.eccv(channels=SMALL).state_dict().items()}
    rest = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}}
    torch.save(rest | {"model": arrays}, path, _use_new_zipfile_serialization=new)


def write_protocol_5(path):
    arrays = colorizers.PaddleColorModel(SMALL).state_dict()
    path.write_bytes(pickle.dumps({name: array.numpy() for name, array in arrays.items()}, 5))


def write_safetensors(path, dtype=torch.float32):
    arrays = colorizers.eccv(channels=SMALL).state_dict()
    safetensors.torch.save_file(
        {n: a.to(dtype) if a.is_floating_point() else a for n, a in arrays.items()}, path
    )


def read_safetensors(path):
    return {name: a.float().numpy() for name, a in safetensors.torch.load_file(path).items()}


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
    "eccv16, wrapped": (write_wrapped, None),
    "paddle-cic of protocol 5": (write_protocol_5, read_paddle),
    "safetensors": (write_safetensors, read_safetensors),
    "safetensors of bfloat16": (
        lambda path: write_safetensors(path, torch.bfloat16),
        read_safetensors,
    ),
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
    try:
        own = reader(path)
    except MemoryError:  # it believes any length, and asks for as much: nothing to compare
        return True
    return all(np.array_equal(array, own[name]) for name, array in found.arrays.items())


def in_a_line(error, path):
    """Whether an error is one line that names the file."""
    return str(error).startswith(f"{path}: ") and str(error).isprintable()


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
            assert in_a_line(error, path)
            refused += 1
            continue
        assert right(found, whole, path, reader), f"{name}: change {number}"
    assert MUTATIONS / 10 < refused <= MUTATIONS
    assert refused < MUTATIONS or not reader  # without a checksum not everything is refused


def repacked(path, draw):
    """Change what a checksum guards in a file, and make the checksum right again."""
    if path.read_bytes()[:2] != b"PK":
        path.write_bytes(mutated(path.read_bytes(), draw, most=6))
        return
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            chosen = name.endswith(("data.pkl", "cic.json")) or draw.random() < 0.02
            archive.writestr(name, mutated(data, draw, most=3) if chosen else data)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("name", FILES)
def test_what_is_broken_on_purpose_is_a_line_too(tmp_path, name):
    """No checksum finds it: the structure itself is nonsense. What is read has only numbers."""
    path, draw = tmp_path / "weights", random.Random(f"{name}, on purpose")
    FILES[name][0](path)
    whole, refused = path.read_bytes(), 0
    for _ in range(MUTATIONS // 3):
        path.write_bytes(whole)
        repacked(path, draw)
        try:
            found = formats.read(path)
            assert all(np.isfinite(array).all() for array in found.state.values())
        except CheckpointError as error:
            assert in_a_line(error, path)
            refused += 1
    assert refused > MUTATIONS / 10


ODD = (None, True, 0, -1, 1e308, float("nan"), 10**300, "", "Lab", "x" * 5000, [], {}, [[1]])


@pytest.mark.parametrize("key", ["width", "input_scale", "classes", "size", "depth", "space"])
def test_no_option_in_metadata_or_a_note_is_a_defect(tmp_path, key):
    """Of any type and size, for every network: the file is refused, or the option is right."""
    path, state = tmp_path / "x.safetensors", initialize(NETWORK)
    for network in networks.names():
        for value in ODD:
            meta = {"network": network, "options": {key: value}}
            checkpoint.save(path, {"conv1_1.weight": state["conv1_1.weight"]}, meta)
            with pytest.raises(CheckpointError) as caught:
                reading.load_weights(path)
            assert in_a_line(caught.value, path)


NOTES = [
    lambda note: note | {"halves": 7},
    lambda note: note | {"halves": [[]]},
    lambda note: note | {"scaled": {"conv1_1.weight": [0, "<f4", ""]}},
    lambda note: note | {"scaled": {n: [0, *rest] for n, (_, *rest) in note["scaled"].items()}},
    lambda note: note | {"scaled": {n: [f, "O", d] for n, (f, _, d) in note["scaled"].items()}},
    lambda note: note | {"scaled": {n: [f, ",f4", d] for n, (f, _, d) in note["scaled"].items()}},
    lambda note: note | {"scaled": {n: [f, "<f8", d] for n, (f, _, d) in note["scaled"].items()}},
    lambda note: note | {"exact": {"conv1_1.bias": ["<f4", "AAAA"]}},
    lambda note: note | {"exact": {"conv1_1.bias": [[], None]}},
    lambda note: note | {"meta": note["meta"] | {"colorize": {"temperature": float("nan")}}},
    lambda note: note | {"meta": note["meta"] | {"colorize": [1]}},
    lambda note: note | {"meta": note["meta"] | {"options": {"width": 1e308}}},
    lambda note: note | {"meta": []},
    lambda note: [note],
    lambda note: 3,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", range(len(NOTES)))
def test_a_note_that_lies_is_named(tmp_path, monkeypatch, number):
    path, make = tmp_path / "x.pth", notes.make
    monkeypatch.setattr(notes, "make", lambda *a: NOTES[number](make(*a)))
    write_note(path)
    with pytest.raises(CheckpointError) as caught:
        formats.read(path)
    assert in_a_line(caught.value, path)


def test_what_a_note_says_again_and_again_is_done_once():
    state = initialize(NETWORK) | {"large": np.ones(1_000_000, np.float32)}
    note = {"meta": META, "halves": ["large"] * 20_000, "scaled": {}}
    begin = time.process_time()
    _, found, _ = notes.applied(note, NETWORK, state, "x")
    assert found["large"].dtype == np.float16
    assert time.process_time() - begin < 2
