"""Whole modules of classes that nobody has: their tensors come, nothing of them runs."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from cic.weights import reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import read_frameworks
from helpers import colorizers

SOURCE = """
import torch
from torch import nn


class SpectralNorm(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module, self.name, self.power_iterations = module, "weight", 1
        weight = module._parameters.pop("weight")
        flat = weight.detach().flatten(1)
        for part, value in (("u", torch.rand(len(flat))), ("v", torch.rand(flat.shape[1]))):
            module.register_parameter(f"weight_{part}", nn.Parameter(value, requires_grad=False))
        module.register_parameter("weight_bar", nn.Parameter(weight.detach()))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(
            SpectralNorm(nn.Conv2d(1, 4, 3)), nn.LeakyReLU(0.2, inplace=True), nn.BatchNorm2d(4)
        )
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("left", torch.arange(3.0), persistent=False)
        self.classifier = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2, bias=False))
        self.pool = nn.AdaptiveAvgPool2d((7, 7))
        self.nothing = None
"""


@pytest.fixture
def unknown():
    """A module of classes that can be imported while it is there, and is gone when read."""
    name = "network_of_somebody"
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(SOURCE, module.__dict__)
    for kind in (module.Net, module.SpectralNorm):
        kind.__module__ = name
    yield module
    sys.modules.pop(name, None)


def saved(net, path, **options):
    torch.save(net, path, **options)
    sys.modules.pop("network_of_somebody", None)
    return path


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("new", [True, False])
def test_the_tensors_are_those_of_its_state_dict(tmp_path, unknown, new):
    net = unknown.Net()
    expected = {name: array.clone() for name, array in net.state_dict().items()}
    path = saved(net, tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    found = read_frameworks.read(path)
    assert found.keys() == expected.keys()
    assert {"conv1.0.module.weight_bar", "conv1.0.module.weight_u", "kept"} < found.keys()
    assert all(np.array_equal(found[name], array) for name, array in expected.items())


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_that_makes_objects_is_read(tmp_path, unknown, protocol):
    net = unknown.Net()
    expected = net.state_dict()
    path = saved(net, tmp_path / "net.pth", pickle_protocol=protocol)
    assert read_frameworks.read(path).keys() == expected.keys()


def test_a_distributed_module_is_taken_apart(tmp_path, unknown):
    path = saved(torch.nn.DataParallel(unknown.Net()), tmp_path / "net.pth")
    assert "module.conv1.0.module.weight_bar" in read_frameworks.read(path)


def test_a_whole_colorizer_is_a_checkpoint(tmp_path):
    """Its class is looked up nowhere, though here it could be."""
    net = colorizers.eccv()
    torch.save(net, tmp_path / "net.pth")
    network, state, _ = reading.load_weights(tmp_path / "net.pth")
    assert network.options["input_scale"] == 100
    assert np.array_equal(state["conv1_1.weight"], net.model1[0].weight.detach().numpy())


class Runs:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("where", ["attribute", "hook", "buffer", "parameter", "class"])
def test_code_in_a_module_does_not_run_and_is_named(tmp_path, unknown, new, where):
    marker, net = tmp_path / "ran", unknown.Net()
    code = Runs(os.system, f"touch {marker}")
    if where == "attribute":
        net.harmless = code
    elif where == "hook":
        net._forward_hooks[0] = code
    elif where in ("buffer", "parameter"):
        vars(net)[f"_{where}s"]["more"] = code
    else:
        vars(net)["_modules"]["more"] = code
    path = saved(net, tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError, match=r"net\.pth: refused: it names (posix|nt)\.system,"):
        read_frameworks.read(path)
    assert not marker.exists()


def test_a_class_that_is_called_is_refused(tmp_path, unknown):
    """Another's class may shadow a name that is known here: that of its module is not."""
    unknown.OrderedDict = type("OrderedDict", (Runs,), {"__module__": unknown.__name__})
    thing = unknown.OrderedDict(unknown.OrderedDict, print, "x")
    path = saved({"a": thing}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"names builtins\.print|names __builtin__\.print"):
        read_frameworks.read(path)
    sys.modules[unknown.__name__] = unknown
    path = saved({"a": unknown.OrderedDict(unknown.OrderedDict, "x")}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"it calls network_of_somebody\.OrderedDict,"):
        read_frameworks.read(path)


def test_a_paddle_file_may_hold_no_objects(tmp_path, unknown):
    path = tmp_path / "net.pdparams"
    path.write_bytes(pickle.dumps({"a": unknown.Net()}, 4))
    with pytest.raises(CheckpointError, match=r"it names network_of_somebody\.Net,"):
        read_frameworks.read(path)


def test_modules_within_themselves_and_in_each_other_end(tmp_path, unknown):
    net = unknown.Net()
    vars(net)["_modules"]["again"] = net
    path = saved(net, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="more than 100,000 modules"):
        read_frameworks.read(path)
    inner = torch.nn.Sequential()
    for _ in range(40):
        outer = torch.nn.Sequential()
        vars(outer)["_modules"] = {"a": inner, "b": inner}
        inner = outer
    torch.save(inner, path)
    with pytest.raises(CheckpointError, match="more than 100,000 modules"):
        read_frameworks.read(path)


@pytest.mark.parametrize(
    "part", [[1], {"a": 3}, {1: torch.ones(3)}, "text", {"a": "text"}], ids=str
)
@pytest.mark.parametrize("where", ["_parameters", "_buffers"])
def test_modules_of_other_things_are_named(tmp_path, unknown, where, part):
    net = unknown.Net()
    vars(net)[where] = part
    path = saved(net, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net\.pth: not weights of PyTorch or Paddle: "):
        read_frameworks.read(path)
