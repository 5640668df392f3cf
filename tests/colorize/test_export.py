"""Colorizers as ONNX files: L in, and the ab that ours would put on a picture out."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import backends
from cic import networks
from cic.colorize import export, settings
from cic.colorize.colorizer import Decoder
from cic.colorize.export import enlarged
from cic.colorize.onnx_median import median
from cic.colour import decoding
from cic.colour.lab import lightness
from cic.commands.port import introduce
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import onnx_file
from cic.weights.files.onnx_file import Graph
from cic.weights.files.onnx_terms import Term
from cic.weights.formats import onnx as onnx_format
from cic.weights.porting import Port
from helpers import ROOT, started
from helpers.ported import random_state, same

SIZES = [(1, 64, 96), (2, 37, 50), (1, 5, 70), (1, 1, 1)]  # photos, rows, columns
SMALL = networks.get("cic", width=0.05)


def ab_of(network, state, meta, light):
    """ab (N, 2, H, W) of L (N, 1, H, W), by NumPy."""
    decoder, (height, width) = Decoder(network, settings.of_weights(meta)), light.shape[2:]
    spare = [(0, -side % network.multiple) for side in (height, width)]
    inputs = np.pad(network.prepare(light), ((0, 0), (0, 0), *spare), "reflect")
    outputs = forward(network, state, inputs.astype(np.float32))
    rows, columns = (-(-side // network.stride) for side in (height, width))
    cells = [decoder.decoded(output) for output in outputs[:, :, :rows, :columns]]
    return np.stack([enlarged(one, decoder.grid)[:, :height, :width] for one in cells])


def compared(path, network, state, meta, photo):
    """Compare a file with NumPy, on pictures of several sizes; the largest ab that there were.

    To 0.01 CIELAB units of 100; the search for a median ends within 0.005.
    """
    export.FORMAT.save(path, network, state, meta)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for count, height, width in SIZES:
        parts = [photo[top : top + height, 150 : 150 + width] for top in range(100, 100 + count)]
        light = np.stack([lightness(part)[None] for part in parts])
        expected = ab_of(network, state, meta, light)
        [output] = session.run(["ab"], {"L": light})
        assert output.shape == (count, 2, height, width)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(output, expected, rtol=0, atol=0.01 * max(1, scale / 100))
        largest = max(largest, scale)
    return largest


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"statistic": "median", "temperature": 0.9},
        {"statistic": "mean", "temperature": 0, "unweight": 0},
        {"temperature": 0.5, "unweight": 0.0, "saturation": 0.8, "target_mean": False},
    ],
    ids=str,
)
def test_the_bundled_colorizer_decodes_as_numpy_does(tmp_path, photos, changes):
    network, state, meta = reading.load_weights()
    meta = meta | {"colorize": meta["colorize"] | changes}
    assert compared(tmp_path / "x.onnx", network, state, meta, photos["coffee"]) > 5


@pytest.mark.parametrize("name", ["cic", "regression"])
@pytest.mark.parametrize("mean", [False, True])
def test_so_do_others(tmp_path, photos, name, mean):
    network = networks.get(name, width=0.05)
    meta = checkpoint.network_meta(network) | {"recipe": {"target_mean": mean}}
    state = random_state(network)
    assert compared(tmp_path / "x.onnx", network, state, meta, photos["coffee"]) > 5


def test_medians_of_any_distributions_are_those_of_numpy():
    """Of one bin, of a few far apart, of all: where a search is longest."""
    graph = Graph()
    share = Term(graph, graph.take("share", ["batch", 313, "rows", "columns"]))
    graph.give(graph("Identity", median(share).name, called="ab"), ["batch", 2, "rows", "columns"])
    session = onnxruntime.InferenceSession(bytes(onnx_file.model(graph, "median", {})))
    drawn = np.random.default_rng(0)
    shares = [drawn.dirichlet(np.full(313, spread), 300) for spread in (0.003, 0.03, 1.0)]
    shares = np.concatenate(shares).astype(np.float32).T.reshape(1, 313, 30, 30)
    [found] = session.run(None, {"share": shares})
    apart = np.hypot(*(found[0] - decoding.median(np.log(np.maximum(shares[0], 1e-30)))))
    assert apart.max() < 0.05, np.sort(apart.ravel())[-5:]


def test_a_real_photo_gets_the_colours_that_the_colorizer_gives_it(tmp_path, photos):
    """Enlarged bilinearly, seen at one size, as decoded: what the file cannot do is not asked."""
    network, state, meta = reading.load_weights()
    export.FORMAT.save(tmp_path / "x.onnx", network, state, meta)
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    photo = np.asarray(Image.fromarray(photos["coffee"]).resize((384, 256)))
    [ab] = session.run(None, {"L": lightness(photo)[None, None]})
    ours = backends.colorizer(
        backend="onnx", size=256, edges="bilinear", evenness=0, fade=0, tint=0
    )
    expected = enlarged(ours.ab(Image.fromarray(photo)), ours.grid)
    np.testing.assert_allclose(ab[0], expected, rtol=0, atol=0.01)
    assert np.abs(expected).max() > 20


def test_a_file_names_its_decoding_and_comes_back(tmp_path):
    state, meta = reading.load(reading.default_path())
    network, *_ = reading.load_weights()
    export.FORMAT.save(tmp_path / "x.onnx", network, state, meta)
    model = onnx.load(tmp_path / "x.onnx")
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert f"temperature={meta['colorize']['temperature']}" in texts["decoding"]
    assert f"statistic={meta['colorize']['statistic']!r}" in texts["decoding"]
    assert json.loads(texts["sizes"]) == meta["colorize"]["sizes"]
    assert "L in, ab" in model.doc_string
    back, again = reading.load(tmp_path / "x.onnx")
    assert same(back, state)
    assert again == meta


def test_the_ending_names_the_format_that_fits(tmp_path):
    colorizer, classifier = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    other = networks.get("efficientnet_lite", classes=5, size=64)
    for path, network in ((colorizer, SMALL), (classifier, other)):
        checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    target = str(tmp_path / "x.onnx")
    for source, name in ((colorizer, "onnx"), (classifier, "onnx-logits")):
        port = Port.of(source, target, among=export.FORMATS)
        assert port.form.name == name
    assert Port.of(colorizer, target, to="onnx-logits", among=export.FORMATS).form is formats.ONNX
    with pytest.raises(ValueError, match="efficientnet_lite does not: take the format onnx-logits"):
        Port.of(classifier, target, to="onnx", among=export.FORMATS)


@pytest.mark.parametrize("form", [export.FORMAT, formats.ONNX], ids=lambda form: form.name)
def test_a_file_says_of_which_kind_it_is(tmp_path, form, capsys):
    path, target = str(tmp_path / "x.onnx"), str(tmp_path / "x.safetensors")
    form.save(path, SMALL, initialize(SMALL), checkpoint.network_meta(SMALL))
    introduce(path, False, Port.of(path, target, among=export.FORMATS))
    assert f"found    {form.name}: {form.about}, " in capsys.readouterr().out


def _elu(model):
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Elu"


def _another_domain(model):
    model.graph.node[5].domain = "com.somebody"


def _pads(model):
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    next(one for one in node.attribute if one.name == "pads").ints[0] += 1


def _operands(model):
    node = next(node for node in model.graph.node if node.op_type == "Sub")
    node.input[:] = node.input[::-1]


def _constant(model):
    tensor = next(one for one in model.graph.initializer if one.name.startswith("/"))
    tensor.raw_data = bytes(len(tensor.raw_data))


def _opset(model):
    model.opset_import[0].version += 1


def _loop(model):
    node = next(node for node in model.graph.node if node.op_type == "Loop")
    next(one for one in node.attribute[0].g.node if one.op_type == "Less").op_type = "Greater"


def _output(model):
    model.graph.output[0].name = model.graph.node[-1].output[0] = "colours"


CHANGES = [_elu, _another_domain, _pads, _operands, _constant, _opset, _loop, _output]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_graph_that_was_changed_is_refused(tmp_path, change):
    path, target = str(tmp_path / "x.onnx"), str(tmp_path / "x.safetensors")
    meta = checkpoint.network_meta(SMALL) | {"colorize": {"statistic": "median"}}
    export.FORMAT.save(path, SMALL, initialize(SMALL), meta)
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    for use in (
        lambda: formats.read(path),
        lambda: Port.of(path, target, among=export.FORMATS),
        lambda: backends.colorizer(path, "onnx"),
    ):
        with pytest.raises(CheckpointError, match=r"x\.onnx: its graph was changed: it does not"):
            use()


@pytest.mark.parametrize("form", [export.FORMAT, formats.ONNX], ids=lambda form: form.name)
def test_a_graph_that_other_programs_add_notes_to_is_read(tmp_path, form):
    path = str(tmp_path / "x.onnx")
    form.save(path, SMALL, initialize(SMALL), checkpoint.network_meta(SMALL))
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    for number, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"node {number}", "somebody's"
        for attribute in node.attribute:
            attribute.doc_string = "somebody's"
    model.opset_import.append(onnx.helper.make_opsetid("com.somebody", 1))
    model.graph.doc_string, model.producer_name = "somebody's", "somebody"
    assert model.graph.value_info
    onnx.save(model, path)
    assert same(formats.read(path).state, initialize(SMALL))


def test_metadata_that_were_changed_are_refused(tmp_path):
    path = tmp_path / "x.onnx"
    meta = checkpoint.network_meta(SMALL) | {"colorize": {"temperature": 0.38}}
    export.FORMAT.save(path, SMALL, initialize(SMALL), meta)
    model = onnx.load(path)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts.keys() == {*onnx_format.HASHED, onnx_format.META_HASH}
    onnx.helper.set_model_props(model, texts | {"author": "somebody"})
    onnx.save(model, path)
    assert formats.read(path).meta == meta
    changed = [texts | {key: f"{texts[key]} "} for key in texts if key != onnx_format.HASH]
    changed.append({key: text for key, text in texts.items() if key != onnx_format.GRAPH_HASH})
    changed.append(texts | {"cic": texts["cic"].replace("0.38", "0.9")})
    changed.append({key: text for key, text in texts.items() if key != "bins"})
    for entries in changed:
        onnx.helper.set_model_props(model, entries)
        onnx.save(model, path)
        with pytest.raises(CheckpointError, match=r"x\.onnx: its metadata were changed: set"):
            formats.read(path)


@pytest.mark.slow
def test_porting_there_and_back_as_a_user_does(tmp_path):
    tool = ROOT / "tools" / "port_weights.py"
    run = started.run(tool, reading.default_path(), "x.onnx", "--verify", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    # NumPy, all that run networks here, and the file itself
    assert run.stdout.count("passes") == 2 + len(backends.available())
    run = started.run(tool, "x.onnx", "back.safetensors", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "158 arrays: their own names" in run.stdout
    one, two = (reading.load(p) for p in (reading.default_path(), tmp_path / "back.safetensors"))
    assert same(one[0], two[0])
    assert one[1] == two[1]
