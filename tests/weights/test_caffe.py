"""The authors' Caffe files: their numbers, without Caffe; nothing guessed."""

import sys
import tracemalloc

import numpy as np
import pytest
import torch

from cic import networks
from cic.colour.lab import lightness
from cic.weights import formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats import caffe
from helpers import caffemodel

EXTRA = [  # what a file has that was saved in training, or to be deployed
    ("data_l_meansub", "Scale", [torch.tensor([1.0]), torch.tensor([-50.0])]),
    ("data_ab_ss", "Convolution", [torch.ones(2, 1, 1, 1), torch.zeros(2)]),
    ("class8_ab", "Convolution", [torch.randn(2, 313, 1, 1), torch.zeros(2)]),
    ("loss8_313", "SoftmaxCrossEntropyLoss", []),
]
KINDS = {"new": {}, "old": {"old": True}, "double": {"double": True}}


@pytest.fixture(scope="module")
def net():
    return caffemodel.network()


@pytest.fixture
def written(tmp_path, net):
    """A function that writes a file of the net's layers, as `change` makes them."""

    def write(change=lambda layers: layers, **options):
        path = tmp_path / "colorization_release.caffemodel"
        path.write_bytes(caffemodel.encoded(change(caffemodel.layers(net)), **options))
        return path

    return write


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extra", [[], EXTRA])
def test_the_logits_are_those_of_the_network(backend, written, net, photo, kind, extra):
    path = written(lambda layers: layers + extra, **KINDS[kind])
    network, state, meta = reading.load_weights(path)
    assert network == networks.get("cic", width=0.125)
    assert meta["colorize"] == {"temperature": 1 / 2.606}
    light = lightness(photo[:56, :88])[None, None]
    with torch.no_grad():
        expected = net(torch.from_numpy(light - 50)).numpy()
    output = backend.forward(backend.build(network, state), network.prepare(light))
    scale = np.abs(expected).max()
    assert expected[0].std((1, 2)).min() > 1e-3 * scale
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * scale)


def test_every_number_is_the_files(written, net):
    found = formats.read(written())
    assert np.array_equal(found.state["conv1_1.weight"], net[0].weight.detach().numpy())
    assert np.array_equal(found.state["conv8_1.weight"], net[-7].weight.detach().numpy())
    norm = net[4]
    for name, array in (("mean", norm.running_mean), ("var", norm.running_var)):
        np.testing.assert_allclose(found.state[f"conv1_2norm.running_{name}"], array, rtol=1e-6)
    assert np.all(found.state["conv1_2norm.weight"] == 1)
    assert np.all(found.state["conv1_2norm.bias"] == 0)
    assert found.names["conv1_1.weight"] == "bw_conv1_1.0"
    assert found.names["conv1_2norm.running_var"] == "conv1_2norm.1"


def test_what_is_dropped_is_said(written):
    dropped = formats.read(written(lambda layers: layers + EXTRA)).dropped
    assert dropped["conv1_2norm.2"] == "the factor that its sums were divided by"
    assert "bins" in dropped["class8_ab.0"]
    assert "training target" in dropped["data_ab_ss.1"]
    assert "mean of L" in dropped["data_l_meansub.0"]
    assert len(dropped) == 7 + 6


def test_its_temperature_is_read(written):
    layer = ("conv8_313_rh", "Scale", [torch.full((313,), 2.0)])
    found = formats.read(written(lambda layers: [*layers, layer]))
    assert found.temperature == 0.5
    layer[2][0][7] = 3
    with pytest.raises(CheckpointError, match="no single temperature"):
        formats.read(written(lambda layers: [*layers, layer]))


def test_a_norm_that_saw_nothing_is_as_caffe_takes_it(written, net):
    """batch_norm_layer.cpp: a factor of 0 makes mean and variance 0."""
    layers = caffemodel.layers(net)
    layers[4][2][2] = torch.zeros(1)
    assert layers[4][0] == "conv1_2norm"
    state = formats.read(written(lambda _: layers)).state
    assert np.all(state["conv1_2norm.running_var"] == 0)


def without(layers, name):
    return [layer for layer in layers if layer[0] != name]


def replaced(layers, name, arrays):
    return [(n, kind, arrays if n == name else old) for n, kind, old in layers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ls: [one for one in ls if one[0] != "conv6_2"],
            r"missing: conv6_2\.0, conv6_2\.1$",
        ),
        (lambda ls: [*ls, ("fc", "InnerProduct", [torch.ones(3)])], r"not known: fc\.0$"),
        (
            lambda ls: replaced(ls, "conv6_2", [torch.ones(64, 64, 5, 5), torch.ones(64)]),
            r"of another shape: conv6_2\.0 \(64, 64, 5, 5\)",
        ),
        (lambda ls: replaced(ls, "conv6_2", [torch.ones(64, 64, 3, 3)]), r"missing: conv6_2\.1$"),
        (lambda ls: replaced(ls, "conv3_3norm", [torch.ones(32)] * 2), r"missing: conv3_3norm"),
        (
            lambda ls: replaced(ls, "conv3_3norm", [torch.ones(32)] * 3),
            r"conv3_3norm\.2 is \(32,\)",
        ),
        (lambda ls: [*ls, ls[0]], r"two layers are called 'bw_conv1_1'"),
        (
            lambda ls: replaced(ls, "conv6_2", [torch.full((64, 64, 3, 3), torch.inf)] * 2),
            "of another shape",
        ),
        (
            lambda ls: [*ls, ("data_l_meansub", "Scale", [torch.ones(1), torch.zeros(1)])],
            "does not take 50",
        ),
        (lambda ls: [("ip1", "InnerProduct", [torch.ones(2, 3)])], r"no known network: ip1\.0"),
    ],
)
def test_other_networks_are_named(written, change, message):
    with pytest.raises(CheckpointError, match=rf"colorization_release\.caffemodel: .*{message}"):
        formats.read(written(change))


def test_a_file_that_is_cut_off_is_named(written):
    path = written()
    whole = path.read_bytes()
    for end in (*range(3, 600, 7), *range(600, len(whole), len(whole) // 50)):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"colorization_release\.caffemodel: ") as caught:
            formats.read(path)
        assert "\n" not in str(caught.value)


def test_numbers_that_are_not_packed_are_refused(tmp_path):
    """No Caffe writes them so, and they would have to pass through Python one by one."""
    blob = b"\x3a\x02\x0a\x00" + b"\x2d\x00\x00\x80\x3f"  # an empty shape; 1.0 on its own
    layer = b"\x0a\x01a" + b"\x3a" + bytes([len(blob)]) + blob
    path = tmp_path / "x.caffemodel"
    path.write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    with pytest.raises(CheckpointError, match=r"x\.caffemodel: not a Caffe model: a\.0 has 0"):
        formats.read(path)


def test_without_protobuf_it_says_what_to_install(written, monkeypatch):
    path = written()
    caffe._messages.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(ImportError, match="pip install protobuf"):
        formats.read(path)
    caffe._messages.cache_clear()


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "layer"),
    [
        (100, message(7, b"") * 200_000),  # an object each
        (2, message(6, b"") * 200_000),
        (100, message(7, message(5, b"") * 200_000)),
        (2, message(6, message(7, message(1, b"\1" * 200_000)))),
        (100, message(50, b"") * 200_000),
    ],
    ids=["blobs", "blobs, older", "pieces of numbers", "sides, older", "fields"],
)
def test_absurdly_many_parts_are_refused_before_they_are_parsed(tmp_path, field, layer):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(message(1, b"net") + message(field, layer))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"x\.caffemodel: .*more than 100,000 fields"):
        caffe.read(path)
    assert tracemalloc.get_traced_memory()[1] < 30 << 20  # an import of protobuf has 13
    tracemalloc.stop()
