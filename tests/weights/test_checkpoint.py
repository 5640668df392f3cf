"""checkpoint and files: nothing lost, nothing half written, nothing foreign accepted."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cic import networks
from cic.networks.initialize import initialize
from cic.system.files import replacing
from cic.weights import checkpoint
from cic.weights.checkpoint import (
    CheckpointError,
    check,
    network_meta,
    save,
    split,
)
from cic.weights.reading import load, load_weights
from helpers import ROOT

NETWORK = networks.get("cic", width=0.125)
META = network_meta(NETWORK)


@pytest.fixture(scope="module")
def state():
    return initialize(NETWORK)


def contents(folder):
    """{name: bytes} of every file below `folder`, hidden ones included."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int64", "int16", "uint8", "bool"]
)
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a.T,
        lambda a: a[::2, ::-1],
        lambda a: a[:, 1],
        lambda a: a[:0],
        lambda a: np.array(a[1, 1]),
    ],
    ids=["plain", "transposed", "strided", "column", "empty", "scalar"],
)
def test_arrays_come_back(tmp_path, dtype, view):
    array = view(np.arange(24).reshape(4, 6).astype(dtype))
    save(tmp_path / "a.safetensors", {"x": array}, {})
    back, _ = load(tmp_path / "a.safetensors")
    assert back["x"].dtype == array.dtype
    assert back["x"].shape == array.shape
    assert np.array_equal(back["x"], array)


def test_state_and_meta_come_back(tmp_path, state):
    meta = META | {"step": 7, "loss": 0.5, "note": "naïve 图像", "recipe": {"options": {}}}
    save(tmp_path / "a.safetensors", state, meta)
    back, back_meta = load(tmp_path / "a.safetensors")
    assert back_meta == meta
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], array) for name, array in state.items())


def test_missing_folders_are_made(tmp_path):
    save(tmp_path / "a" / "b" / "c.safetensors", {"x": np.zeros(1)}, {"k": 1})
    assert load(str(tmp_path / "a" / "b" / "c.safetensors"))[1] == {"k": 1}


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save(path, {"x": np.ones(3)}, {})
    before = contents(tmp_path)

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"x": np.zeros(3)}, {})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_any_exception_leaves_what_was_there(tmp_path, error, old):
    path = tmp_path / "file.txt"
    if old:
        path.write_bytes(old)
    before = contents(tmp_path)
    with pytest.raises(error), replacing(path) as fresh:
        Path(fresh).write_bytes(b"half")
        raise error
    assert contents(tmp_path) == before


def test_a_target_that_is_a_folder_leaves_no_litter(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="target"), replacing(tmp_path / "target") as fresh:
        Path(fresh).write_bytes(b"new")
    assert os.listdir(tmp_path) == ["target"]


KILLED = """
import os, signal, sys
from cic.system.files import replacing
with replacing(sys.argv[1]) as fresh:
    open(fresh, "wb").write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_kill_while_writing_leaves_the_old_file(tmp_path, old):
    path = tmp_path / "file.txt"
    if old:
        path.write_bytes(old)
    killed = subprocess.run([sys.executable, "-c", KILLED, path], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == old


def test_the_bytes_are_on_disk_before_the_name_changes(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("sync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("name"), replace(*paths)))
    with replacing(tmp_path / "file.txt") as fresh:
        Path(fresh).write_bytes(b"new")
    assert events == ["sync", "name"]


def test_the_fresh_file_lies_beside_its_target_with_its_extension(tmp_path):
    target = tmp_path / ("x" * 200 + ".safetensors")
    with replacing(target) as fresh:
        assert Path(fresh).parent == tmp_path
        assert Path(fresh).suffix == ".safetensors"
        assert Path(fresh).name.startswith(".")
        assert not target.exists()
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(tmp_path / "a.safetensors", {"x": np.zeros(1)}, {})
        assert os.umask(umask) == umask  # and it is left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == mode


def a_checkpoint(path):
    save(path, {"x": np.arange(100.0)}, {})
    return path.read_bytes()


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0"),
        lambda path: path.write_bytes(b"\0" * 100),
        lambda path: path.write_text("weights\n" * 10),
        lambda path: path.write_bytes(a_checkpoint(path)[:-1]),
        lambda path: path.write_bytes(a_checkpoint(path)[:50]),
        lambda path: path.write_bytes(a_checkpoint(path)[:5]),
        lambda path: path.write_bytes(a_checkpoint(path) + b"more"),
        lambda path: path.mkdir(),
        lambda path: None,
        lambda path: save_file({"x": np.zeros(3)}, path),
        lambda path: save_file({"x": np.zeros(3)}, path, {"format": "np"}),
        lambda path: save_file({"x": np.zeros(3)}, path, {checkpoint.META: "{"}),
    ],
    ids=[
        "empty",
        "zero",
        "zeros",
        "text",
        "cut",
        "cut-header",
        "cut-size",
        "longer",
        "folder",
        "missing",
        "bare",
        "foreign",
        "json",
    ],
)
@pytest.mark.parametrize("read", [load, load_weights])
def test_what_is_no_checkpoint_is_named(tmp_path, write, read):
    path = tmp_path / "some.safetensors"
    write(path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_check_accepts_the_networks_own_state(state):
    check(NETWORK, state)
    check(NETWORK, {name: state[name] for name in sorted(state)})


def test_check_names_the_first_array_that_differs_and_both_shapes(state):
    other = dict(state)
    other["conv2_1.weight"] = np.zeros((16, 9, 3, 3))
    other["conv3_1.weight"] = np.zeros(3)
    with pytest.raises(CheckpointError) as caught:
        check(NETWORK, other, "there.safetensors")
    message = str(caught.value)
    assert message.startswith("there.safetensors: not weights of ")
    assert message.endswith(
        "conv2_1.weight: the file has (16, 9, 3, 3), the network needs (16, 8, 3, 3)"
    )


def test_the_message_of_check_is_short():
    """It names the network and its options, not all of its layers."""
    with pytest.raises(CheckpointError, match=r"cic.*conv1_1\.weight") as caught:
        check(NETWORK, {})
    assert len(str(caught.value)) < 250


def test_check_names_a_missing_array(state):
    other = {name: array for name, array in state.items() if name != "conv4_3norm.running_var"}
    with pytest.raises(CheckpointError, match=r"conv4_3norm\.running_var: .* has nothing.*\(64,\)"):
        check(NETWORK, other)


def test_check_names_an_array_too_many(state):
    with pytest.raises(CheckpointError, match=r"conv9\.bias: .* has \(3,\).*needs nothing"):
        check(NETWORK, state | {"conv9.bias": np.zeros(3)})


def test_split_takes_the_optimizers_arrays_apart():
    weights, optimizer = split({"conv.weight": 1, "optimizer/steps": 2, "optimizer/m/conv": 3})
    assert weights == {"conv.weight": 1}
    assert optimizer == {"steps": 2, "m/conv": 3}


def test_load_weights_rebuilds_the_network_and_drops_the_optimizer(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save(path, state | {"optimizer/steps": np.array([3])}, META | {"step": 3})
    network, weights, meta = load_weights(path)
    assert network == NETWORK
    assert meta == META | {"step": 3}
    assert weights.keys() == state.keys()
    assert all(np.array_equal(weights[name], array) for name, array in state.items())


@pytest.mark.parametrize(
    "meta",
    [
        {"network": "vgg", "options": {}},
        {"network": "cic", "options": {"depth": 3}},
        {"network": "cic", "options": {"width": 0}},
        {"network": "cic", "options": {"width": float("inf")}},
        {"network": "cic", "options": None},
        {"network": ["cic"], "options": {}},
        {"network": "cic"},
        {},
        [],
        None,
    ],
    ids=json.dumps,
)
def test_load_weights_names_a_file_of_an_unknown_network(tmp_path, state, meta):
    path = tmp_path / "other.safetensors"
    save(path, state, meta)
    with pytest.raises(CheckpointError, match=r"other\.safetensors: .*no known network"):
        load_weights(path)


def test_load_weights_names_a_file_of_another_width(tmp_path, state):
    path = tmp_path / "other.safetensors"
    save(path, state, network_meta(networks.get("cic")))
    with pytest.raises(CheckpointError, match=r"other\.safetensors: .*conv1_1\.weight"):
        load_weights(path)


def by_hand(path, entries, data=b"\0" * 64):
    """A file whose header has these entries, {name: (dtype, shape, offsets)}."""
    header = {name: dict(zip(("dtype", "shape", "data_offsets"), e)) for name, e in entries.items()}
    head = json.dumps({"__metadata__": {checkpoint.META: "{}"}} | header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


@pytest.mark.parametrize(
    "entries",
    [
        {"a": ("F32", [8], [0, 32]), "b": ("F32", [12], [16, 64])},  # they overlap
        {"a": ("F32", [16], [0, 64]), "b": ("F32", [16], [0, 64])},
        {"a": ("F32", [8], [0, 32])},  # bytes that are no array's
        {"a": ("F32", [8], [0, 32]), "b": ("F32", [7], [36, 64])},
        {"a": ("F32", [2**31, 2**31], [0, 64])},
        {"a": ("F32", [2**62, 2**62, 2**62], [0, 64])},
        {"a": ("F32", [-16], [0, 64])},
        {"a": ("F32", [16], [0, 2**63])},
        {"a": ("F128", [4], [0, 64])},
    ],
    ids=str,
)
def test_absurd_headers_are_one_line(tmp_path, entries):
    by_hand(tmp_path / "good.safetensors", {"a": ("F32", [16], [0, 64])})
    assert load(tmp_path / "good.safetensors")[0]["a"].shape == (16,)
    by_hand(tmp_path / "bad.safetensors", entries)
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: not a checkpoint: ") as caught:
        load(tmp_path / "bad.safetensors")
    assert "\n" not in str(caught.value)


def test_a_changed_number_and_a_changed_word_are_noticed(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save(path, state, META | {"colorize": {"temperature": 0.38}})
    whole = path.read_bytes()
    for changed in (
        whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:],
        whole.replace(b"0.38", b"0.39"),
        whole.replace(b"crc32", b"crc33"),
    ):
        assert changed != whole
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: not a checkpoint: "):
            load(path)
