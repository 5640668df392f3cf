"""DLimage_colorization's weights, every array there twice: in, out and back, the same colours."""

import numpy as np
import pytest
import torch

from cic import networks
from cic.networks.forward import forward
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from helpers import colorizers
from helpers.ported import apart, class_elsewhere, random_state, run, same

NETWORK = networks.get("regression", width=colorizers.WIDTH)


@pytest.fixture(scope="module")
def net():
    return colorizers.fill(colorizers.Deploy())


@pytest.fixture
def saved(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "model_l2.pt")
    return tmp_path / "model_l2.pt"


@pytest.fixture
def seen(net, photo):
    """(input of a real photo, what the net makes of it), (1, C, 56, 88)."""
    inputs = NETWORK.inputs(photo[None, :56, :88])
    with torch.inference_mode():
        return inputs, net(torch.from_numpy(inputs)).numpy()


def writers(net):
    """{kind: what their users save}: their files, those of others, and of older PyTorch."""
    state = net.state_dict()
    counts = [name for name in state if name.endswith("num_batches_tracked")]
    return {
        "state": state,
        "without counts": {name: state[name] for name in state if name not in counts},
        "distributed": torch.nn.DataParallel(net).state_dict(),
        "once": {name: state[name] for name in state if not name.startswith("lin.")},
    }


@pytest.mark.parametrize("kind", ["state", "without counts", "distributed", "once"])
def test_every_file_of_theirs_gives_the_network(tmp_path, net, saved, kind):
    torch.save(writers(net)[kind], tmp_path / "x.bin")
    found = formats.read(tmp_path / "x.bin")
    assert (found.form.name, found.network) == ("dlimage", NETWORK)
    assert same(found.state, reading.load(saved)[0])
    for name, array in net.named_parameters():
        (ours,) = (mine for mine, theirs in found.names.items() if theirs == name)
        assert np.array_equal(found.state[ours], array.detach().numpy())


def test_a_whole_module_gives_it_too(tmp_path, net, saved):
    with class_elsewhere(net, "colorization_deploy_v1", "deploy_v1"):
        torch.save(net, tmp_path / "base.pt")
    assert same(reading.load(tmp_path / "base.pt")[0], reading.load(saved)[0])


def test_the_output_is_that_of_their_code(backend, saved, seen):
    network, state, _ = reading.load_weights(saved)
    inputs, expected = seen
    assert np.ptp(network.unscale_ab(expected)) > 20
    assert apart(backend.forward(backend.build(network, state), inputs), expected) < 1e-4
    assert apart(forward(network, state, inputs), expected) < 1e-4


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("width", [0.125, 0.3])
def test_neutral_to_theirs_and_back_is_bit_identical(tmp_path, kind, width):
    network = networks.get("regression", width=width)
    state = {n: a.astype(kind) if a.ndim > 1 else a for n, a in random_state(network).items()}
    meta = checkpoint.network_meta(network)
    formats.suited(".pt", network).save(tmp_path / "x.pt", network, state, meta)
    back, back_meta = reading.load(tmp_path / "x.pt")
    assert same(state, back)
    assert back_meta == meta


def test_theirs_to_neutral_and_back_is_bit_identical(tmp_path, saved):
    found = formats.read(saved)
    formats.NEUTRAL.save(tmp_path / "own.safetensors", found.network, found.state, found.meta)
    again = formats.read(tmp_path / "own.safetensors")
    found.form.save(tmp_path / "x.pt", again.network, again.state, again.meta)
    last = formats.read(tmp_path / "x.pt")
    counted = {name: a for name, a in found.arrays.items() if "num_batches" not in name}
    assert same(counted, {name: last.arrays[name] for name in counted})
    assert last.arrays.keys() == found.arrays.keys()


def test_their_own_code_loads_it_strictly(tmp_path, seen):
    state = random_state(NETWORK)
    formats.get("dlimage").save(tmp_path / "x.pt", NETWORK, state, {})
    net = colorizers.Deploy().eval()
    net.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True), strict=True)
    with torch.inference_mode():
        output = net(torch.from_numpy(seen[0])).numpy()
    assert apart(output, forward(NETWORK, state, seen[0])) < 1e-4
    once = sum(array.nbytes for array in state.values())
    assert (tmp_path / "x.pt").stat().st_size < 1.2 * once + 30_000  # no number is there twice


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update({"lin.2.bias": s["lin.2.bias"] + 1e-6}), r"lin\.2\.bias is not the s"),
        (lambda s: s.update({"bn3.running_var": s["bn2.bias"]}), r"lin\.16\.running_var is not th"),
        (lambda s: s.pop("lin.2.bias"), r"missing: lin\.2\.bias$"),
        (lambda s: s.pop("conv1_2.bias"), r"missing: conv1_2\.bias$"),
        (lambda s: s.update({"lin.1.bias": s["bn1.bias"]}), r"not known: lin\.1\.bias$"),
        (lambda s: [s.pop(n) for n in ("conv_ab.weight", "lin.51.weight")], r"conv_ab\.weight$"),
        (
            lambda s: s.update(dict.fromkeys(("conv_ab.bias", "lin.51.bias"), s["bn1.bias"])),
            r"of another shape: conv_ab\.bias \(8,\) instead of \(2,\)$",
        ),
        (
            lambda s: [s[n].fill_(torch.inf) for n in ("bn1.bias", "lin.4.bias")],
            r"conv1_2norm\.bias holds numbers that are not finite$",
        ),
    ],
)
def test_every_array_is_accounted_for(tmp_path, net, change, message):
    state = {name: array.clone() for name, array in net.state_dict().items()}
    change(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=rf"x\.pt: .*{message}"):
        reading.load(tmp_path / "x.pt")


@pytest.mark.slow
def test_the_tool_proves_it_both_ways(tmp_path, saved):
    own, back = tmp_path / "own.safetensors", tmp_path / "back.pt"
    for source, target in ((saved, own), (own, back)):
        done = run(source, target, "--verify")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("passes") == 5
        assert "scaled to ab" in done.stdout
    assert "the same arrays a second time, under lin" in " ".join(run(back, own).stdout.split())
    done = run(saved, tmp_path / "x.pth", "--to", "eccv16")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "eccv16 holds no regression, only cic" in done.stderr
