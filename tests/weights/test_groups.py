"""Weights as people have them: wrapped, prefixed, compiled, of two bytes, beside other things."""

import argparse
import collections
import datetime
import pathlib
import pickle
import random

import numpy as np
import paddle
import pytest
import safetensors.torch
import torch

from cic.weights import formats
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import groups, read_frameworks
from cic.weights.reading import load_weights
from helpers import ROOT, colorizers, started

SMALL = (8,) * 8  # channels


@pytest.fixture(scope="module")
def net():
    return colorizers.eccv(channels=SMALL)


@pytest.fixture(scope="module")
def plain(net):
    """{name: tensor}, as the authors' own class has them."""
    return net.state_dict()


@pytest.fixture(scope="module")
def expected(plain, tmp_path_factory):
    """(network, state) of the file that holds nothing but them."""
    path = tmp_path_factory.mktemp("plain") / "plain.pth"
    torch.save(plain, path)
    network, state, _ = load_weights(path)
    assert np.array_equal(state["conv1_1.weight"], plain["model1.0.weight"].numpy())
    return network, state


def same(path, expected):
    network, state, _ = load_weights(path)
    return network == expected[0] and all(
        state[name].dtype == array.dtype and np.array_equal(state[name], array)
        for name, array in expected[1].items()
    )


def stepped(net):
    """An optimizer that has made a step, and its schedule."""
    optimizer = torch.optim.Adam(net.parameters(), 0.0)
    for array in net.parameters():
        array.grad = torch.zeros_like(array)
    optimizer.step()
    return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])


class Options(dict):
    """A class of somebody's program."""


@pytest.fixture
def rest(net):
    """All that has been seen beside the weights."""
    optimizer, schedule = stepped(net)
    return {
        "epoch": torch.tensor(3),
        "optimizer": optimizer.state_dict(),
        "whole optimizer": optimizer,
        "schedule": schedule.state_dict(),
        "args": argparse.Namespace(lr=0.1, folder=pathlib.Path("/data"), type=torch.float32),
        "config": Options(lr=0.1, deep=Options()),
        "best_acc1": np.float64(56.0),
        "when": datetime.datetime(2024, 5, 1),
        "random": (torch.get_rng_state(), np.random.get_state(), random.getstate()),  # noqa: NPY002
        "counts": collections.Counter("abca"),
        "lists": collections.defaultdict(list, a=[1]),
        "recent": collections.deque([1.0, 2.0]),
        "history": [0.5] * 1000,
        "names": np.array(["a", "b"]),
        "more": (torch.Size([2]), torch.device("cpu"), {1, 2}, frozenset([1]), 1j, None, b"x"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", ["model", "net", "state_dict", "ema", "a.b c"])
def test_the_network_is_found_under_any_name(tmp_path, plain, expected, rest, name, new):
    path = tmp_path / "x.pth"
    torch.save(rest | {name: plain}, path, _use_new_zipfile_serialization=new)
    assert same(path, expected)
    found = formats.read(path)
    beside = {key for key, why in found.dropped.items() if "beside the network" in why}
    assert "optimizer.state.0" in beside
    assert name not in beside
    assert "num_batches_tracked" in " ".join(found.dropped.keys() - beside)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net, plain: {"model": net, "epoch": 3},
        lambda net, plain: [3, plain],
        lambda net, plain: (plain, {"lr": 0.1}),
        lambda net, plain: {"a": {"b": [{"c": plain}]}},
        lambda net, plain: plain | {"epoch": 3, "note": "text", "more": {"x": [1]}},
        lambda net, plain: {"G": plain, "D": {"0.weight": torch.ones(4, 3, 3, 3)}},
        lambda net, plain: {"ema": plain, "again": plain},
        lambda net, plain: {name: torch.nn.Parameter(a.float()) for name, a in plain.items()},
        lambda net, plain: {name: array.numpy() for name, array in plain.items()},
    ],
    ids=["object", "list", "tuple", "deep", "flat", "two networks", "twice", "leaves", "NumPy"],
)
def test_the_network_is_found_wherever_it_is(tmp_path, net, plain, expected, wrap):
    torch.save(wrap(net, plain), tmp_path / "x.pth")
    assert same(tmp_path / "x.pth", expected)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"module.{name}",
        lambda name: f"model.{name}",
        lambda name: f"net.generator.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("model3.", "model3._orig_mod."),
        lambda name: f"model.module._orig_mod.{name}",
    ],
    ids=lambda rename: rename("model3.0.weight"),
)
def test_prefixes_of_programs_are_taken_off(tmp_path, plain, expected, rename):
    arrays = {rename(name): array for name, array in plain.items()}
    torch.save(arrays, tmp_path / "a.pth")
    torch.save({"state_dict": arrays, "epoch": 1}, tmp_path / "b.pth")
    safetensors.torch.save_file(arrays, tmp_path / "c.safetensors")
    for name in ("a.pth", "b.pth", "c.safetensors"):
        assert same(tmp_path / name, expected)


def test_what_has_another_prefix_is_another_group(tmp_path, plain, expected):
    """Lightning has losses beside the model, torch.optim.swa_utils a count beside the average."""
    arrays = {f"net.{name}": array for name, array in plain.items()}
    torch.save({"state_dict": arrays | {"loss.weight": torch.ones(313)}}, tmp_path / "a.pth")
    averaged = {f"module.{name}": array for name, array in plain.items()}
    torch.save(averaged | {"n_averaged": torch.tensor(7)}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        assert same(tmp_path / name, expected)


@pytest.mark.slow
def test_a_compiled_module_is_read(tmp_path, net, expected):
    torch.save(torch.compile(net).state_dict(), tmp_path / "x.pth")
    assert next(iter(torch.load(tmp_path / "x.pth"))).startswith(groups.COMPILED)
    assert same(tmp_path / "x.pth", expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_two_bytes_are_those_of_their_framework(tmp_path, plain, dtype):
    arrays = {name: a.to(dtype) if a.is_floating_point() else a for name, a in plain.items()}
    torch.save(arrays, tmp_path / "new.pth")
    torch.save(arrays, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(arrays, tmp_path / "x.safetensors")
    for name in ("new.pth", "old.pth", "x.safetensors"):
        _, state, _ = load_weights(tmp_path / name)
        kernel = state["conv3_1.weight"]
        assert np.array_equal(kernel, arrays["model3.0.weight"].float().numpy())
        assert kernel.dtype == (np.float16 if dtype == torch.float16 else np.float32)


def test_a_view_of_bfloat16_keeps_its_strides(tmp_path):
    whole = torch.arange(24.0).bfloat16().reshape(4, 6)
    torch.save({"a": whole[1:, ::2].T, "b": whole[2, 3]}, tmp_path / "x.pth")
    found = read_frameworks.read(tmp_path / "x.pth")
    assert np.array_equal(found["a"], whole[1:, ::2].T.float().numpy())
    assert found["b"] == 15


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_paddle_has_them_too(tmp_path, dtype):
    arrays = colorizers.PaddleColorModel(SMALL).state_dict()
    half = {name: array.astype(dtype) for name, array in arrays.items()}
    paddle.save({"model": half, "epoch": 1}, str(tmp_path / "x.pdparams"))
    _, state, _ = load_weights(tmp_path / "x.pdparams")
    kernel = half["features.10.weight"].astype("float32").numpy()
    assert any(np.array_equal(array, kernel) for array in state.values())


def test_several_networks_are_listed_and_one_can_be_named(tmp_path, plain):
    path = tmp_path / "x.pth"
    other = {name: array + 1 for name, array in plain.items() if "model_out" not in name}
    other["model_out.weight"] = plain["model_out.weight"]
    torch.save({"state_dict": plain, "state_dict_ema": other}, path)
    count = len(plain)
    with pytest.raises(CheckpointError, match=r"several networks: ") as caught:
        load_weights(path)
    message = str(caught.value)
    assert f"state_dict ({count} arrays), state_dict_ema ({count} arrays)" in message
    assert "port --group" in message or "port_weights.py --group" in message
    target = tmp_path / "ema.safetensors"
    command = (ROOT / "tools" / "port_weights.py", path, target, "--group", "state_dict_ema")
    done = started.run(*command, cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stderr
    _, state, _ = load_weights(target)
    assert np.array_equal(state["conv1_1.weight"], plain["model1.0.weight"].numpy() + 1)
    with pytest.raises(CheckpointError, match=r"no network is called 'x' in it: it has state_dict"):
        formats.read(path, group="x")


def test_without_a_network_the_groups_are_listed(tmp_path, net):
    path = tmp_path / "x.pth"
    torch.save(
        {"a": {"x.weight": torch.ones(3)}, "b": {"y": torch.ones(2), "z": net.model1[0].weight}},
        path,
    )
    with pytest.raises(CheckpointError, match=r"known network: it has b \(2 arrays\), a \(1 arr"):
        load_weights(path)
    torch.save(stepped(net)[0].state_dict(), path)
    with pytest.raises(CheckpointError, match=r"it has state\.0 \(3 arrays\), .* and \d+ more$"):
        load_weights(path)
    for nothing in ({"epoch": 3}, [], 3, {"a": {"b": "c"}}, {0: torch.ones(3)}):
        torch.save(nothing, path)
        with pytest.raises(CheckpointError, match="no arrays in it, under names"):
            load_weights(path)


def test_a_part_that_is_missing_is_named_with_its_group(tmp_path, plain):
    arrays = {name: array for name, array in plain.items() if name != "model3.2.bias"}
    torch.save({"epoch": 1, "state_dict": arrays}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: state_dict: .*missing: model3\.2\.bias$"):
        load_weights(tmp_path / "x.pth")
    torch.save({"state_dict": {"model1.0.weight": torch.zeros(4, 1, 3, 3)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: state_dict: missing: model_out\.weight$"):
        load_weights(tmp_path / "x.pth")


@pytest.mark.slow
def test_trees_of_any_kind_come_to_an_end():
    arrays = {"a": 1.5}
    doubled = {"x": arrays}
    for _ in range(60):
        doubled = {"one": doubled, "two": [doubled, doubled]}
    circle = {"x": arrays}
    circle["self"] = [circle]
    deep = arrays
    for _ in range(10_000):
        deep = [deep]
    for tree, count in ((doubled, 0), (circle, 1), (deep, 0), ({"k" * 10**6: arrays}, 1)):
        found = groups.find(tree, lambda value: value == 1.5, lambda _: None)
        assert len(found) == count
        assert all(len(group.name) < 200 for group in found)
    many = {str(n): [n] for n in range(groups.MOST)}
    with pytest.raises(ValueError, match="more than 100,000 parts"):
        groups.find(many, lambda _: False, lambda _: None)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol_may_be_wrapped(tmp_path, protocol):
    """paddle.save of version 2 and 3, and what Python 3.14 writes by default."""
    arrays = {n: a.numpy() for n, a in colorizers.PaddleColorModel(SMALL).state_dict().items()}
    for tree in (arrays, {"state": arrays, "loss": np.float32(3), "args": argparse.Namespace(x=1)}):
        (tmp_path / "x.pdparams").write_bytes(pickle.dumps(tree, protocol))
        found = formats.read(tmp_path / "x.pdparams")
        assert found.form.name == "paddle-cic"
        assert all(np.array_equal(found.arrays[name], array) for name, array in arrays.items())
