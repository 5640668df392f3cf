"""safetensors, read here: as the package of that name reads them, and bfloat16 besides."""

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError

from cic.weights import CheckpointError, load
from cic.weights.checkpoint import load_own
from cic.weights.files import bfloat16, safetensors_file
from cic.weights.files.safetensors_file import SafetensorsFile


def contents(path):
    with SafetensorsFile(path) as file:
        return {name: file.array(name) for name in file.shapes}


@pytest.mark.parametrize(
    "kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
)
def test_arrays_are_those_of_the_package(tmp_path, kind):
    draw = np.random.default_rng(0)
    arrays = {
        "a.weight": draw.integers(0, 100, (3, 4, 1)).astype(kind),
        "empty": np.zeros((0, 5), kind),
        "one": np.array(1, kind),
        "näme \n": draw.integers(0, 2, 7).astype(kind),
    }
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(arrays, path, {"format": "np"})
    expected, found = safetensors.numpy.load_file(path), contents(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
    with SafetensorsFile(path) as file:
        assert file.metadata == {"format": "np"}
        assert file.shapes["a.weight"] == (3, 4, 1)


def test_bfloat16_becomes_float32_exactly(tmp_path):
    """All 65,536 numbers there are, against PyTorch."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    numbers = bits.view(torch.bfloat16).reshape(256, 256)
    safetensors.torch.save_file({"a": numbers}, tmp_path / "x.safetensors")
    found = contents(tmp_path / "x.safetensors")["a"]
    assert found.dtype == np.float32
    assert np.array_equal(found, numbers.float().numpy(), equal_nan=True)
    assert np.array_equal(bfloat16.widened(np.array([0x3F80, 0xC000], "u2")), [1, -2])


def by_hand(path, header, data=b"\0" * 24, length=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)
    return path


def entry(dtype="F32", shape=(6,), offsets=(0, 24)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry("F8_E4M3", (24,))}, "a holds numbers of type F8_E4M3, which are not read"),
        ({"a": entry(shape=(5,))}, r"a has 24 bytes, not those of \(5,\)"),
        ({"a": entry(shape=[-6])}, "a has no shape"),
        ({"a": entry(shape=[6.0])}, "a has no shape"),
        ({"a": entry(shape=[True] * 6)}, "a has no shape"),
        ({"a": entry(shape="6")}, "a has no shape"),
        ({"a": entry(shape=[1] * 100)}, "a has no shape"),
        ({"a": entry(offsets=[24, 0])}, "a has -24 bytes"),
        ({"a": entry(offsets=[0])}, "a is at no place"),
        ({"a": entry(shape=(3,), offsets=(0, 12))}, "24 bytes of numbers, where its header has 12"),
        ({"a": entry(), "b": entry()}, "byte 0 of its numbers is in two arrays or none"),
        ({"a": entry(shape=(5,), offsets=(4, 24))}, "byte 0 of its numbers is in two"),
        ({"a": entry(shape=(8,), offsets=(0, 32))}, "24 bytes of numbers, where its header has 32"),
        ({"a": {"dtype": "F32", "shape": [6]}}, "a is described as no array is"),
        ({"a": {"type": "F32"}}, "a is described as no array is"),
        ({"a": 3}, "a is described as no array is"),
        ({"a": entry(["F32"])}, "a holds numbers of type"),
        ({"__metadata__": {"a": 1}}, "metadata that are no texts"),
        ([], "no object|header"),
        (b'{"a": ' + b"[" * 100_000, "brackets inside each other"),
        (b'{"a": {}, "a": {}}', "one key twice"),
        (b"{" * 50, "Expecting"),
    ],
)
def test_headers_that_cannot_be_are_refused_in_a_line(tmp_path, header, message):
    path = by_hand(tmp_path / "x.safetensors", header)
    with pytest.raises(ValueError, match=message) as caught:
        contents(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(SafetensorError):
        safetensors.numpy.load_file(path) if "F8" not in message else _refuse()
    with pytest.raises(CheckpointError, match=r"x\.safetensors: "):
        load(path)


def _refuse():
    raise SafetensorError("it reads these, but not into NumPy")


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 10**12, 10**6, 200])
def test_absurd_sizes_of_headers_take_no_memory(tmp_path, length):
    path = by_hand(tmp_path / "x.safetensors", {"a": entry()}, length=length)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=rf"x\.safetensors: .* a header of {length:,} bytes"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_header_of_absurdly_many_tensors_is_refused_unparsed(tmp_path, monkeypatch):
    path = by_hand(tmp_path / "x.safetensors", b"{" + b'"a":[],' * 100_000 + b'"a":[]}')
    monkeypatch.setattr("cic.system.bounded_json.MOST", 100_000)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: .*JSON of 200,002 values"):
        load(path)
    monkeypatch.setattr(safetensors_file, "HEADER", 1000)
    with pytest.raises(CheckpointError, match=r"a header of 700,0\d\d bytes, in a file of"):
        load(path)


def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path):
    """Mapped into memory, it would end the process."""
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(100_000)}, path)
    with SafetensorsFile(path) as file:
        os.truncate(path, 1000)
        with pytest.raises(ValueError, match="cut off in a, while it was read"):
            file.array("a")


def test_one_without_our_metadata_is_not_ours(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="not written by this project: no metadata"):
        load_own(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors: weights of no known network: a$"):
        load(tmp_path / "x.safetensors")
