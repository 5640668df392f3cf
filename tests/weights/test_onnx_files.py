"""ONNX files: what other programs run computes what NumPy does, and comes back bit by bit."""

import json
import random
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import cic
from cic import networks
from cic.colour.bins import AB
from cic.networks import layers
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import onnx_file, protobuf
from cic.weights.formats import onnx_layers
from helpers.ported import random_state, same

SMALL = networks.get("cic", width=0.05)
META = checkpoint.network_meta(SMALL)
SPECIAL = [
    networks.get("special_vgg16", space=space, variant=variant, classes=5, width=1 / 16, size=32)
    for space, variant in (("Gray", "plain"), ("Lab", "bn"), ("ab", "fc"), ("RGB", "fc"))
]
CLASSIFIERS = [
    networks.get("vgg16", classes=5, width=1 / 32),
    networks.get("resnet", depth=18, classes=5, width=0.125),
    networks.get("resnet", depth=50, classes=5, width=0.125),
    networks.get("special_resnet", norm="instance", classes=5, width=0.125, size=64),
    networks.get("special_resnet", norm="batch", classes=5, width=0.125, size=64),
    networks.get("gated_resnet18", classes=5, width=0.125, size=64),
    networks.get("efficientnet_lite", classes=5, size=64),
    *SPECIAL,
]
COLORIZERS = [
    SMALL,
    networks.get("cic", width=0.05, extra_relu=True, input_scale=100.0),
    networks.get("regression", width=0.05),
    networks.get("fpn"),
]
SIZES = [(1, 64, 96), (2, 37, 50), (3, 5, 70), (1, 1, 1), (2, 2, 3)]  # photos, rows, columns


def opened(path):
    """A session of a file that ONNX's own checker has passed, shapes included."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def close(output, expected):
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_every_network_is_among_those_tried():
    assert {network.name for network in (*CLASSIFIERS, *COLORIZERS)} == set(networks.names())


@pytest.mark.parametrize("network", CLASSIFIERS, ids=str)
def test_a_classifier_computes_what_numpy_does(network, tmp_path):
    path, state = tmp_path / "x.onnx", random_state(network)
    formats.ONNX.save(path, network, state, checkpoint.network_meta(network))
    values = np.random.default_rng(0).random((2, network.channels, network.size, network.size))
    values = values.astype(np.float32)
    [output] = opened(path).run(["logits"], {network.space: values})
    inputs = network.prepare(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    close(output, forward(network, state, inputs.astype(np.float32)))


@pytest.mark.parametrize("network", COLORIZERS, ids=str)
def test_a_colorizer_does_for_pictures_of_any_size(network, tmp_path):
    """Those that are too small to be mirrored once, too."""
    path, state, drawn = tmp_path / "x.onnx", random_state(network), np.random.default_rng(0)
    formats.ONNX.save(path, network, state, checkpoint.network_meta(network))
    session = opened(path)
    for count, height, width in SIZES:
        light = (100 * drawn.random((count, 1, height, width))).astype(np.float32)
        spare = [(0, -side % network.multiple) for side in (height, width)]
        inputs = np.pad(network.prepare(light), ((0, 0), (0, 0), *spare), "reflect")
        rows, columns = (-(-side // network.stride) for side in (height, width))
        expected = forward(network, state, inputs.astype(np.float32))[:, :, :rows, :columns]
        [output] = session.run(None, {"L": light})
        assert output.shape == expected.shape
        close(output, expected)


def test_the_bundled_weights_come_back_bit_by_bit_with_all_that_decoding_needs(tmp_path):
    state, meta = reading.load(reading.default_path())
    network, *_ = reading.load_weights()
    path = tmp_path / "disguised.bin"
    formats.ONNX.save(path, network, state, meta)
    assert path.stat().st_size < 1.01 * sum(array.nbytes for array in state.values()) + 3e4
    back, again = reading.load(path)
    assert same(back, state)
    assert {array.dtype.str for array in back.values()} == {"<f2", "<f4"}
    assert again == meta
    assert all(array.flags.writeable and array.flags.aligned for array in back.values())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_every_precision_comes_back(tmp_path, dtype):
    state = {name: array.astype(dtype) for name, array in initialize(SMALL).items()}
    formats.ONNX.save(tmp_path / "x.onnx", SMALL, state, META)
    back = formats.read(tmp_path / "x.onnx").state
    assert list(back) == list(state)
    for name, array in state.items():
        assert back[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back[name], array)
    light = np.full((1, 1, 16, 16), 60, np.float32)
    state = {name: array.astype(np.float32) for name, array in state.items()}
    [output] = opened(tmp_path / "x.onnx").run(None, {"L": light})
    close(output, forward(SMALL, state, SMALL.prepare(light)))


def test_what_a_file_says_of_itself(tmp_path):
    secret = {"command": ["train.py", "--image_dir", "/home/somebody"], "seed": 3}
    formats.ONNX.save(tmp_path / "x.onnx", SMALL, initialize(SMALL), META | secret)
    model = onnx.load(tmp_path / "x.onnx")
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert (model.producer_name, model.producer_version) == ("cic", cic.__version__)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", onnx_file.OPSET)]
    assert json.loads(texts["cic"]) == META | {"seed": 3}
    assert (texts["network"], json.loads(texts["options"])) == ("cic", SMALL.options)
    np.testing.assert_array_equal(json.loads(texts["bins"]), AB)
    assert len(texts["weights_sha256"]) == 64
    assert "Apache-2.0" in texts["licence"]
    assert not any("somebody" in text for text in texts.values())
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert same({name: weights[name] for name in SMALL.state_shapes}, initialize(SMALL))


def test_the_same_weights_make_the_same_file(tmp_path):
    for name in "ab":
        formats.ONNX.save(tmp_path / name, SMALL, initialize(SMALL), META)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_changed_weight_is_damage(tmp_path, place):
    path = tmp_path / "x.onnx"
    formats.ONNX.save(path, SMALL, initialize(SMALL), META)
    data = bytearray(path.read_bytes())
    largest = SMALL.state_shapes["conv6_1.weight"]
    array = initialize(SMALL)["conv6_1.weight"]
    assert array.shape == largest
    start = data.index(array.tobytes())
    data[start + int(place * array.nbytes)] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.onnx: damaged: its weights are not those"):
        formats.read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = tmp_path / "x.onnx"
    formats.ONNX.save(path, SMALL, initialize(SMALL), META)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"x\.onnx: not a whole ONNX file: cut off"):
        formats.read(path)


def test_a_file_with_something_broken_is_refused_or_right(tmp_path):
    path, draw = tmp_path / "x.onnx", random.Random(0)
    network = networks.get("cic", width=0.01)
    state = initialize(network)
    formats.ONNX.save(path, network, state, checkpoint.network_meta(network))
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            near = draw.random() < 0.7  # in the first bytes, and in the graph's
            place = draw.randrange(6000) if near else draw.randrange(len(data))
            data[place] = draw.randrange(256)
        path.write_bytes(data)
        try:
            found = formats.read(path)
        except CheckpointError as error:
            assert "\n" not in str(error)
            continue
        assert same(found.state, state)


def test_weights_in_another_file_are_refused_by_what_to_do(tmp_path):
    path = tmp_path / "x.onnx"
    formats.ONNX.save(path, SMALL, initialize(SMALL), META)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="x.data")
    with pytest.raises(CheckpointError) as caught:
        formats.read(path)
    assert str(caught.value).startswith(f"{path}: not a whole ONNX file: ")
    assert "lies in another file: save it as one file, without external data" in str(caught.value)


def foreign(**changes):
    """A small model as other programs write it."""
    kernel = helper.make_tensor("onnx::Conv_7", TensorProto.FLOAT, (2, 1, 1, 1), bytes(8), True)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["photo", "onnx::Conv_7"], ["colours"])],
        "main",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, (1, 1, "h", "w"))],
        [helper.make_tensor_value_info("colours", TensorProto.FLOAT, (1, 2, "h", "w"))],
        [kernel],
    )
    return helper.make_model(graph, producer_name="pytorch", **changes)


def test_a_file_of_another_program_says_what_it_has_and_what_is_needed(tmp_path):
    onnx.save(foreign(), tmp_path / "x.onnx")
    with pytest.raises(CheckpointError) as caught:
        reading.load_weights(tmp_path / "x.onnx")
    assert "x.onnx: an ONNX file of another program" in str(caught.value)
    assert "of pytorch, 1 nodes, 1 arrays, in and out: photo, colours" in str(caught.value)
    assert "get the weights that it was made from" in str(caught.value)


def test_one_that_only_claims_to_be_ours_is_refused(tmp_path):
    model = foreign()
    helper.set_model_props(model, {"cic": json.dumps(META)})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match=r"x\.onnx: not w.* conv1_1\.weight.* has nothing"):
        formats.read(tmp_path / "x.onnx")
    helper.set_model_props(model, {"cic": '{"network": "none", "options": {}}'})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match="names no known network"):
        formats.read(tmp_path / "x.onnx")


def hostile(*fields):
    """A file of ours up to its metadata, and then fields."""
    entry = protobuf.Message([(1, "cic"), (2, json.dumps(META))])
    return bytes(protobuf.Message([(1, 8), (2, "cic"), (14, entry), *fields]))


def tensor(shape, code=1, raw=b"\0\0\0\0"):
    return protobuf.Message([(1, list(shape)), (2, code), (8, "conv1_1.bias"), (9, raw)])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([(7, protobuf.Message([(1, [b""] * 300_000)]))], "too many fields"),
        ([(7, protobuf.Message([(5, tensor([2]))]))], "not those of its shape"),
        ([(7, protobuf.Message([(5, tensor([2**62, 0], raw=b""))]))], "not those of its shape"),
        ([(7, protobuf.Message([(5, tensor([1] * 50))]))], "not those of its shape"),
        ([(7, protobuf.Message([(5, tensor([1], 8))]))], "numbers of type 8"),
        ([(7, protobuf.Message([(5, [tensor([1]), tensor([1])])]))], "two arrays are called"),
        ([(7, 3)], "a number where a message should be"),
        ([(7, b"\x0f")], "is no field"),
        ([(7, b"\x0a" + b"\xff" * 12)], "ends no number"),
    ],
)
def test_what_would_cost_too_much_or_mean_nothing_is_refused(tmp_path, fields, reason):
    (tmp_path / "x").write_bytes(hostile(*fields))
    with pytest.raises(CheckpointError, match=rf"x: not a whole ONNX file: .*{reason}"):
        formats.read(tmp_path / "x")


@pytest.mark.parametrize(
    "layer",
    [
        layers.AveragePool(3, 2, 1),
        layers.MaxPool(3, 2, 1),
        layers.Upsample(3, mode="bilinear"),
        layers.Upsample(2),
        layers.Sigmoid(),
        layers.Dropout("drop"),
    ],
    ids=str,
)
def test_layers_in_ways_that_no_network_has(layer):
    network = replace(SMALL, layers=(layer,))
    session = onnxruntime.InferenceSession(
        bytes(onnx_file.model(onnx_layers.network_graph(network, {}), "layer", {}))
    )
    inputs = np.random.default_rng(0).standard_normal((2, 1, 15, 22)).astype(np.float32)
    [output] = session.run(None, {onnx_layers.INPUT: inputs})
    close(output, forward(network, {}, inputs))


def test_a_layer_without_an_operator_is_refused_by_name():
    class Sine(layers.ReLU):
        """Of a network of somebody's own."""

    network = replace(SMALL, layers=(*SMALL.layers, Sine("sine")))
    with pytest.raises(ValueError, match=r"no ONNX file holds cic.*: it has a layer Sine"):
        onnx_layers.network_graph(network, initialize(SMALL))


def test_what_is_larger_than_a_protocol_buffer_can_be_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 10_000)
    graph = onnx_layers.network_graph(SMALL, initialize(SMALL))
    with pytest.raises(ValueError, match="bytes; an ONNX file holds 10,000"):
        onnx_file.model(graph, "cic", {})
    with pytest.raises(ValueError, match="numbers of type uint16"):
        onnx_file.tensor("x", np.zeros(3, np.uint16))


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)])
def test_numbers_are_written_as_protocol_buffers_have_them(number):
    made = bytes(protobuf.Message([(1, "n"), (3, number), (20, 2)]))
    assert onnx.AttributeProto.FromString(made).i == number
    fields = dict(protobuf.Reader()(memoryview(made)))
    assert fields[3] == number % 2**64
