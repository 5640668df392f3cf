"""hubconf.py: both frameworks' hubs load the network from a clone, with weights from anywhere."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

import hubconf
from cic import networks
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.weights import checkpoint, download, formats, reading
from helpers import ROOT

pytestmark = pytest.mark.slow

LOAD = {
    "torch": "import torch.hub; net = torch.hub.load({root!r}, 'cic', source='local', {rest})",
    "paddle": "import paddle; net = paddle.hub.load({root!r}, 'cic', source='local', {rest})",
}
ASKED = {
    "bundled": "pretrained=True",
    "file": "pretrained=True, weights='theirs.pth'",
    "untrained": "width=0.125, extra_relu=True",
}
LOOK = """
import sys, numpy as np
assert {other!r} not in sys.modules, "the other framework is imported"
name = type(net).__module__
import backends
out = backends.get({mine!r}).forward(net, np.load("input.npy"))
with open("output.npy", "ab") as file:
    np.save(file, out)
print(name, net.network)
"""


@pytest.fixture(scope="module")
def theirs():
    """(network, state) of theirs.pth."""
    network = networks.get("cic", width=0.125, input_scale=100.0)
    return network, initialize(network, 3)


@pytest.fixture(scope="module", params=["torch", "paddle"])
def loaded(request, tmp_path_factory, theirs):
    """What a framework's hub loads in a process of its own.

    Its name, the input, and {what is asked for: (words, output)}.
    """
    folder, name = tmp_path_factory.mktemp("hub"), request.param
    inputs = np.random.default_rng(0).uniform(-50, 50, (1, 1, 32, 32)).astype(np.float32)
    np.save(folder / "input.npy", inputs)
    formats.get("eccv16").save(folder / "theirs.pth", *theirs, {})
    look = LOOK.format(other={"torch": "paddle", "paddle": "torch"}[name], mine=name)
    code = "".join(LOAD[name].format(root=str(ROOT), rest=rest) + look for rest in ASKED.values())
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    with open(folder / "output.npy", "rb") as file:
        outputs = [np.load(file) for _ in ASKED]
    return name, inputs, dict(zip(ASKED, zip(run.stdout.splitlines(), outputs, strict=True)))


def test_the_hubs_give_the_bundled_weights_in_their_own_framework(loaded):
    name, inputs, found = loaded
    words, output = found["bundled"]
    network, state, _ = reading.load_weights()
    assert words == f"backends.{name}.network {network}"
    expected = forward(network, state, inputs)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_file_in_any_format_is_taken(loaded, theirs):
    _, inputs, found = loaded
    words, output = found["file"]
    assert words.endswith(str(theirs[0]))
    expected = forward(*theirs, inputs)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_untrained_networks_have_options(loaded):
    words, output = loaded[-1]["untrained"]
    assert words.endswith(str(networks.get("cic", width=0.125, extra_relu=True)))
    assert output.shape == (1, 313, 8, 8)


def test_paddles_hub_lists_it_and_shows_its_help():
    """PyTorch's lists what is on GitHub only."""
    code = (
        f"import paddle; root = {str(ROOT)!r}\n"
        "assert paddle.hub.list(root, source='local') == ['cic']\n"
        "assert 'bundled' in paddle.hub.help(root, 'cic', source='local')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_an_address_is_downloaded_and_checked(tmp_path, monkeypatch):
    path, network = tmp_path / "weights", networks.get("cic", width=0.125)
    checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    monkeypatch.setattr(download, "_download", lambda url, to: shutil.copy(path, to))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    good = f"https://example.org/x-{download.sha256(path)[:8]}.safetensors"
    net = hubconf.cic(pretrained=True, weights=good, backend="torch")
    assert net.network == network
    with pytest.raises(download.DownloadError, match="its SHA-256 is"):
        hubconf.cic(pretrained=True, weights="https://example.org/x-00000000.safetensors")


def test_weights_without_pretrained_and_options_with_it_are_refused():
    with pytest.raises(ValueError, match="without pretrained=True"):
        hubconf.cic(weights="x.pth")
    with pytest.raises(ValueError, match="have their own options"):
        hubconf.cic(pretrained=True, width=0.5)
