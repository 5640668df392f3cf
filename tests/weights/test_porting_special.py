"""Classifiers of PyTorch-Special-Pre-trained-Models: in, out and back, and the same numbers."""

import re

import numpy as np
import pytest
import torch

from cic import networks
from cic.networks import spectral
from cic.networks.forward import forward
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats import verify
from helpers import special_zoo as zoo
from helpers.ported import apart, class_elsewhere, random_state, run, same

pytestmark = pytest.mark.slow

WIDTH, CLASSES, SIZE = 0.125, 10, 64
CHANNELS = {"Gray": 1, "Lab": 3, "ab": 2, "RGB": 3}


def vgg(space, variant):
    """(a net with the names of theirs, the class that it has there, our options)."""
    suffix = {"plain": "", "bn": "_BN", "fc": "_FC_BN"}[variant]
    if variant == "fc":
        net = zoo.VGG16FC(CHANNELS[space], WIDTH, CLASSES, SIZE)
    else:
        net = zoo.VGG16(CHANNELS[space], variant == "bn", WIDTH, CLASSES, SIZE)
    options = {"space": space, "variant": variant, "size": SIZE}
    return net, f"{space}VGG16{suffix}", networks_of("special_vgg16", **options)


def resnet(depth, space, norm, **options):
    net = zoo.ResNet(depth, CHANNELS[space], norm, WIDTH, CLASSES, **options)
    options |= {"depth": depth, "space": space, "norm": norm}
    return net, "ResNet", networks_of("special_resnet", **options)


def gated():
    net = zoo.ResNet(18, 3, "instance", WIDTH, CLASSES, gated=True)
    return net, "ResNet", networks_of("gated_resnet18")


def networks_of(name, **options):
    return networks.get(name, width=WIDTH, classes=CLASSES, **options)


CASES = {
    **{f"{space} {v}": (vgg, space, v) for space in CHANNELS for v in ("plain", "bn", "fc")},
    "ResNet-18 Gray IN": (resnet, 18, "Gray", "instance", {"last": False}),
    "ResNet-50 Gray IN": (resnet, 50, "Gray", "instance"),
    "ResNet-50 Gray BN": (resnet, 50, "Gray", "batch", {"stem_stride": 2}),
    "ResNet-50 RGB IN": (resnet, 50, "RGB", "instance"),
    "ResNet-18 RGB freeform IN": (gated,),
}
FEW = ["Gray plain", "Lab bn", "ab fc", "RGB fc", *list(CASES)[12:]]


def build(name):
    """(net in evaluation mode, its class's name, our network)."""
    make, *arguments = CASES[name]
    options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    torch.manual_seed(0)
    net, kind, network = make(*arguments, **options)
    zoo.seeded(net)
    if isinstance(net, zoo.VGG16FC):  # what a spectral norm leaves of a photo is small
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_var *= 0.02
    return net, kind, network


def told(network):
    """What the options must say of a state dict."""
    return {"space": network.space} if network.channels == 3 else {}


def seen(net, network, photos):
    """(input of two real photographs, what the net makes of it)."""
    side = min(network.size, 128)  # of less, the last instance norms would see next to nothing
    corners = {"coffee": (100, 200), "astronaut": (0, 150)}
    views = [photos[n][y : y + side, x : x + side] for n, (y, x) in corners.items()]
    inputs = network.inputs(np.stack(views))
    with torch.inference_mode():
        return inputs, net(torch.from_numpy(inputs)).numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_and_a_whole_module_give_the_network(tmp_path, name):
    net, kind, network = build(name)
    path, whole = tmp_path / "weights.bin", tmp_path / "whole.bin"
    torch.save(net.state_dict(), path)
    with class_elsewhere(net, kind, "network_of_theirs"):
        torch.save(net, whole)
    first, second = formats.read(path, told(network)), formats.read(whole)
    assert first.network == second.network == network
    assert same(first.state, second.state)
    assert first.form.name == f"zhaoyuzhi-{'vgg' if 'VGG' in kind else 'resnet'}"
    if "fc" not in name:
        assert same(dict(first.state), zoo.neutral(network, net))
    with class_elsewhere(net, kind, "network_of_theirs"):
        torch.save(torch.nn.DataParallel(net), whole)
    assert formats.read(whole).network == network


@pytest.mark.parametrize("name", FEW)
def test_the_logits_are_those_of_the_first_pass(backend, tmp_path, name, photos):
    net, _, network = build(name)
    torch.save(net.state_dict(), tmp_path / "x.pth")
    found = formats.read(tmp_path / "x.pth", told(network))
    inputs, expected = seen(net, network, photos)
    assert np.ptp(expected, 0).max() > 0.05 * np.abs(expected).max() > 0  # it sees the photo
    built = backend.build(found.network, found.state)
    assert apart(backend.forward(built, inputs), expected) < 1e-4
    assert apart(forward(found.network, found.state, inputs), expected) < 1e-4


def test_a_spectral_norm_is_that_after_one_more_step(tmp_path, photos):
    """The vectors in the file are of the pass before: with them the logits are others."""
    net, _, network = build("Gray fc")
    before = {name: array.copy() for name, array in zoo.neutral(network, net).items()}
    torch.save(net.state_dict(), tmp_path / "x.pth")
    found = formats.read(tmp_path / "x.pth")
    inputs, expected = seen(net, network, photos)
    assert apart(forward(network, found.state, inputs), expected) < 1e-4
    assert apart(forward(network, before, inputs), expected) > 0.01
    for name, array in zoo.neutral(network, net).items():  # as theirs are now
        np.testing.assert_allclose(found.state[name], array, rtol=0, atol=1e-5)


def test_a_module_that_was_used_holds_kernels_that_are_left_away(tmp_path, photos):
    """Theirs keeps the kernel of the last pass as an attribute, which is no parameter."""
    net, kind, network = build("Gray fc")
    seen(net, network, photos)
    with class_elsewhere(net, kind, "network_of_theirs"):
        torch.save(net, tmp_path / "x.pth")
    assert b"weight_bar" in (tmp_path / "x.pth").read_bytes()
    found = formats.read(tmp_path / "x.pth")
    assert found.arrays.keys() == net.state_dict().keys()
    inputs, expected = seen(net, network, photos)
    assert apart(forward(network, found.state, inputs), expected) < 1e-4


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_neutral_to_theirs_and_back_is_bit_identical(tmp_path, name, kind):
    _, _, small = build(name)
    network = networks.get(small.name, **small.options | {"size": 96, "width": 0.1})
    state = {n: a.astype(kind) if a.ndim > 1 else a for n, a in random_state(network).items()}
    meta = checkpoint.network_meta(network)
    form = formats.suited(".pth", network)
    form.save(tmp_path / "theirs.pth", network, state, meta)
    back, back_meta = reading.load(tmp_path / "theirs.pth")
    assert same(state, back)
    assert back_meta == meta


def test_vectors_of_a_kernel_that_has_moved_on_come_back_too(tmp_path):
    """As training leaves them, which changes a kernel after its vectors were found."""
    network = networks_of("special_vgg16", size=SIZE)
    state, random = random_state(network), np.random.default_rng(0)
    for name in (name for name in state if state[name].ndim == 4):
        noise = 1 + 1e-4 * random.standard_normal(state[name].shape)
        state[name] = (state[name] * noise).astype(np.float32)
    form = formats.suited(".pth", network)
    form.save(tmp_path / "x.pth", network, state, checkpoint.network_meta(network))
    assert same(reading.load(tmp_path / "x.pth")[0], state)
    found = formats.read(tmp_path / "x.pth")
    inputs = verify.golden(network)
    theirs = forward(*form.source(found), inputs)
    assert apart(theirs, forward(network, state, inputs)) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_their_own_code_loads_it_strictly(tmp_path, name, photos):
    net, _, network = build(name)
    state = random_state(network)
    formats.suited(".pth", network).save(tmp_path / "x.pth", network, state, {})
    net.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True), strict=True)
    inputs, output = seen(net, network, photos)
    assert apart(output, forward(network, state, inputs)) < 1e-4


def test_vectors_of_few_steps_go_back_to_where_they_came_from(tmp_path, photos):
    """Theirs makes one step before the first pass: it must not be one more than ours has made."""
    net, _, network = build("Gray fc")
    first, back = tmp_path / "x.pth", tmp_path / "y.pth"
    torch.save(net.state_dict(), first)
    found = formats.read(first)
    found.form.save(back, found.network, found.state, found.meta)
    _, expected = seen(net, network, photos)
    assert apart(seen(net, network, photos)[1], expected) > 1e-3  # the second pass is another
    net.load_state_dict(torch.load(back, weights_only=True), strict=True)
    assert apart(seen(net, network, photos)[1], expected) < 1e-4


def changed(tmp_path, name, change):
    net, _, network = build(name)
    state = net.state_dict()
    change(state)
    torch.save(state, tmp_path / "x.pth")
    return formats.read(tmp_path / "x.pth", told(network))


FIRST = "conv1.0.module"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("Gray plain", lambda s: s.pop("conv3.2.bias"), r"missing: conv3\.2\.bias$"),
        ("Gray bn", lambda s: s.pop("pool5.0.weight"), r"missing: pool5\.0\.weight$"),
        ("Gray fc", lambda s: s.pop(f"{FIRST}.weight_bar"), rf"missing: {FIRST}\.weight_bar$"),
        ("Gray fc", lambda s: s.pop("conv6.0.module.weight_u"), r"missing: conv6\.0\.module\.w"),
        ("Gray fc", lambda s: s.pop(f"{FIRST}.weight_v"), rf"missing: {FIRST}\.weight_v$"),
        (
            "Gray fc",
            lambda s: s.update({f"{FIRST}.weight_v": s[f"{FIRST}.weight_u"]}),
            rf"of another shape: {FIRST}\.weight_v \(8,\) instead of \(9,\)",
        ),
        ("Gray fc", lambda s: s[f"{FIRST}.weight_u"].fill_(torch.nan), r"conv1_1\.weight_u holds"),
        ("ab fc", lambda s: s.update({"conv7.0.bias": torch.ones(1)}), r"not known: conv7\.0\.b"),
        (
            "Gray plain",
            lambda s: s.update({"conv1.0.weight": torch.ones(8, 4, 3, 3)}),
            r"its input has 4 channels; those of theirs have 1 to 3$",
        ),
        ("ResNet-18 Gray IN", lambda s: s.pop("begin.5.weight"), r"missing: begin\.5\.weight$"),
        ("ResNet-50 Gray IN", lambda s: s.pop("last.0.weight"), r"missing: last\.0\.weight$"),
        ("ResNet-50 Gray BN", lambda s: s.pop("begin.3.bias"), r"missing: begin\.3\.bias$"),
        (
            "ResNet-50 RGB IN",
            lambda s: s.update({"layer2.0.bn1.bias": torch.ones(16)}),
            r"not known: layer2\.0\.bn1\.bias$",
        ),
        (
            "ResNet-50 RGB IN",
            lambda s: [s.pop(n) for n in list(s) if n.startswith("layer3.5.")],
            r"no ResNet has 3, 4, 5, 3 blocks of its kind$",
        ),
        (
            "ResNet-18 RGB freeform IN",
            lambda s: s.pop("layer1.1.conv2_gate.weight"),
            r"missing: layer1\.1\.conv2_gate\.weight$",
        ),
    ],
)
def test_every_array_is_accounted_for(tmp_path, name, change, message):
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        changed(tmp_path, name, change)


def test_the_gated_one_as_published_is_refused(tmp_path):
    """It has kernels of a ResNet-50 behind a ResNet-18's, so it never ran."""
    wide = {"last.0.weight": torch.ones(64, 2048, 3, 3)}
    message = "last.0.weight takes 2048 channels, but layer4 puts out 64: this network cannot run, "
    with pytest.raises(CheckpointError, match=re.escape(message)):
        changed(tmp_path, "ResNet-18 RGB freeform IN", lambda s: s.update(wide))


def test_lab_and_rgb_are_told_apart_or_asked_for(tmp_path):
    net, _, _ = build("Lab bn")
    torch.save(net.state_dict(), tmp_path / "x.pth")
    message = r"x\.pth: its input is Lab or RGB, which no array tells: give option space=Lab$"
    for options in ({}, {"space": "Gray"}, {"space": ["Lab"]}):
        with pytest.raises(CheckpointError, match=message):
            formats.read(tmp_path / "x.pth", options)
    with pytest.raises(CheckpointError, match=message):
        reading.load(tmp_path / "x.pth")
    for space in ("Lab", "RGB"):
        assert formats.read(tmp_path / "x.pth", {"space": space}).network.space == space


def test_the_tool_asks_for_the_space_and_proves_it(tmp_path):
    net, kind, network = build("Lab bn")
    source, whole, target = (tmp_path / name for name in ("x.pth", "whole.pth", "own.safetensors"))
    torch.save(net.state_dict(), source)
    with class_elsewhere(net, kind, "network_Lab_VGG"):
        torch.save(net, whole)
    done = run(source, target)
    assert (done.returncode, target.exists()) == (1, False)
    assert "give option space=Lab" in done.stderr
    done = run(source, target, "--option", "space=Lab", "--verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passes") == 4
    assert reading.load_weights(target)[0] == network
    done = run(whole, tmp_path / "wrong.safetensors", "--option", "space=RGB", "--verify")
    assert done.returncode == 1
    assert done.stdout.count("FAILS") == 4
    assert not (tmp_path / "wrong.safetensors").exists()


def test_spectral_norms_are_folded_and_proved(tmp_path, backend, photos):
    net, kind, network = build("ab fc")
    source, target = tmp_path / "x.pth", tmp_path / "own.safetensors"
    with class_elsewhere(net, kind, "network_ab_VGG"):
        torch.save(net, source)
    done = run(source, target, "--fold", "--verify")
    assert done.returncode == 0, done.stderr
    assert "folded" in done.stdout
    assert done.stdout.count("passes") == 4
    plain, state, _ = reading.load_weights(target)
    assert plain == networks.get(network.name, **network.options | {"spectral": False})
    inputs, expected = seen(net, network, photos)
    assert apart(backend.forward(backend.build(plain, state), inputs), expected) < 1e-4


def test_what_theirs_never_is_is_not_written(tmp_path):
    network = networks_of("special_vgg16", size=SIZE, spectral=False)
    with pytest.raises(ValueError, match="theirs always has spectral norms"):
        formats.suited(".pth", network)
    with pytest.raises(ValueError, match=r"has no spectral norm to fold$"):
        spectral.folded(network, random_state(network))
    own = tmp_path / "own.safetensors"
    checkpoint.save(own, random_state(network), checkpoint.network_meta(network))
    done = run(own, tmp_path / "x.safetensors", "--fold")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "has no spectral norm to fold" in done.stderr
