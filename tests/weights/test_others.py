"""What is no file of weights says what it is, and what to do; what is no file never waits."""

import bz2
import gzip
import io
import lzma
import os
import re
import socket
import struct
import tarfile
import zipfile

import numpy as np
import paddle
import pytest
import torch
from PIL import Image

from cic.colour import prior
from cic.colour.prior import Prior
from cic.weights import CheckpointError, load, load_weights

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 129000000\n"


def zipped(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return file.getvalue()


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


ONNX = b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:"  # ir_version, producer_name, _version, graph
CASES = [
    ("x.pth", b"<!DOCTYPE html><html><head><title>Virus scan warning", "HTML page.*login"),
    ("x.safetensors", b"\n\n <HTML lang=en>", "HTML page.*login"),
    ("x.pdparams", b"\xef\xbb\xbf<!doctype html>", "HTML page.*login"),
    ("x.ckpt", b"<!-- a page --><html>", "HTML page.*login"),
    ("x.caffemodel", b"<head><title>Sign in</title>", "HTML page.*login"),
    ("x.pth", b"<?xml version='1.0'?><Error><Code>AccessDenied", "an XML file"),
    ("x.pth", LFS, r"Git LFS pointer.*git lfs pull"),
    ("x.safetensors", LFS, r"Git LFS pointer.*git lfs pull"),
    ("x.caffemodel", LFS.replace(b"\n", b"\r\n"), r"Git LFS pointer.*git lfs pull"),
    ("x.pdparams", LFS, r"Git LFS pointer.*git lfs pull"),
    ("x.h5", LFS, r"Git LFS pointer.*git lfs pull"),
    ("x.pth", b"", "an empty file"),
    ("x.safetensors", b"", "an empty file"),
    ("x.pth", b"\0" * 5000, "begins with zeros: a download that broke off"),
    ("x.pth", b"404: Not Found", "a text: it begins with '404: Not Found'; as of a server"),
    ("x.pth", b'{"message": "Not Found"}', "a text.*as of a server that refuses a download"),
    ("x.pth", b"Invalid username or password.", "a text.*as of a server that refuses a download"),
    ("x.pth", "<!doctype html><html>".encode("utf-16"), "HTML page.*login"),
    ("x.pth", b"/annex/objects/MD5E-s3--0.pth\n", "git-annex pointer.*git annex get"),
    ("x.pth", b"outs:\n- md5: 0\n  path: x.pth\n", "DVC pointer.*dvc pull"),
    ("x.pth", b"\xff" * 3000, "no known kind of file: it begins with ff ff"),
    ("x.pth", "Größe und Gewicht".encode(), "a text: it begins with 'Größe und Gewicht'; read"),
    ("x.pth", zipped(**{"m/weights.pth": b"x"}), r"zip archive: unpack.* m/weights\.pth"),
    ("x.zip", zipped(readme=b""), "zip archive: unpack it first"),
    ("x.npz", npz(), r"an \.npz of NumPy"),
    ("x.pth", npz()[:-1], "its end is missing, as of a download that broke off"),
    ("x.pth", npz()[:-12], "its end is missing, as of a download that broke off"),
    ("x.pth", npz()[:-30], "its end is missing, as of a download that broke off"),
    ("x.keras", zipped(**{"model.weights.h5": b""}), r"a \.keras file as of Keras"),
    ("x.pth.gz", gzip.compress(b"x", mtime=0), "a gzip archive: unpack"),
    ("x.pth.bz2", bz2.compress(b"x"), "a bzip2 archive: unpack"),
    ("x.pth.xz", lzma.compress(b"x"), "an xz archive: unpack"),
    ("x.tar", tarred(), "a tar archive: unpack"),
    *((f"{kind}.pth", picture(kind), f"a {kind}, a picture") for kind in ("JPEG", "PNG", "GIF")),
    *((f"{kind}.pth", picture(kind), f"a {kind}, a pict") for kind in ("WebP", "TIFF", "BMP")),
    ("x.pth", picture("AVIF"), "a HEIC or AVIF, a picture"),
    ("x.pth", picture("PDF"), "a PDF"),
    ("x.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file.*Keras.*read are"),
    ("x.pth", b"\x89HDF\r\n\x1a\n", "an HDF5 file.*Keras.*read are"),
    ("x.onnx", ONNX, "an ONNX file of another program.*of pytorch.*exported for inf.*read are"),
    ("x.pth", ONNX, "an ONNX file"),
    ("x.caffemodel", b"\x08\x03:\x05graph", "an ONNX file"),
    ("x.prototxt", b'name: "LtoAB"\nlayer {\n', r"a prototxt.*get the \.caffemodel"),
    ("x.caffemodel", b'# v2\n\nlayer {\n  name: "x"', r"a prototxt.*get the \.caffemodel"),
    ("x.pdmodel", b"\n\x9f\x01\x08\0\x10", r"\.pdmodel of Paddle.*exported"),
    ("x.solverstate", b"\x08\x90N\x12\x0fi.caffemodel", r"solver's state.*\.caffemodel"),
    ("x.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite file"),
    ("x.t7", b"\4\0\0\0\1\0\0\0", "Torch 7"),
    ("x.npy", b"\x93NUMPY\1\0", r"an array of NumPy \(\.npy\)"),
    ("x.pth", b"\x12\x34\x56\x78\0\0", "no known kind of file: it begins with 12 34 56 78 00 00"),
]


@pytest.mark.parametrize(("name", "data", "what"), CASES, ids=lambda value: str(value)[:30])
def test_what_is_no_weights_says_what_it_is(tmp_path, name, data, what):
    path = tmp_path / name
    path.write_bytes(data)
    for read in (load, load_weights):
        with pytest.raises(CheckpointError, match=what) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()


def test_parameters_that_paddle_exports_are_known_by_their_bytes(tmp_path):
    """As paddle.jit.save writes them (phi/core/serialization.cc), under any name."""
    layer = paddle.jit.to_static(
        paddle.nn.Linear(2, 3), input_spec=[paddle.static.InputSpec([1, 2])]
    )
    paddle.jit.save(layer, str(tmp_path / "net"))
    data = (tmp_path / "net.pdiparams").read_bytes()
    for name in ("net.pdiparams", "net.pth"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"a \.pdiparams of Paddle.*exported.*read are"):
            load(tmp_path / name)


def test_a_program_of_pytorch_says_how_to_save_its_weights(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"TorchScript: .*torch\.jit\.load.*state_dict"):
        load(tmp_path / "x.pt")


@pytest.fixture(params=["FIFO", "socket", "device", "folder"])
def no_file(request, tmp_path):
    """The path of something that is no regular file; to open some of them would wait for ever."""
    path = tmp_path / f"x.{request.param}"
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_named_at_once(no_file):
    for read in (load, load_weights):
        with pytest.raises(CheckpointError, match=r"not a regular file|a folder: name a file") as e:
            read(no_file)
        assert str(e.value).startswith(f"{no_file}: ")
    for read in (prior.read, Prior.load):
        with pytest.raises(OSError, match=re.escape(str(no_file))):
            read(no_file)


def test_a_file_that_grows_ends_where_it_ended_when_it_was_opened(tmp_path, monkeypatch):
    """A download that still runs: each look at the file finds more of it."""
    path = tmp_path / "x.safetensors"
    head = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * 4)
    grow = os.fstat

    def growing(handle):
        state = grow(handle)
        with open(path, "ab") as file:
            file.write(b"\0" * 4)
        return state

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(CheckpointError, match=r"\d+ bytes of numbers, where its header has 8"):
        load(path)


def test_a_name_in_a_file_cannot_move_the_cursor(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"\x1b[2Jred\nnext\r\u202e": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"no known network: \\x1b\[2Jred next \\u202e$"):
        load(path)
    torch.save({"n" * 10**6: torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"nnn \.\.\.$") as caught:
        load(path)
    assert len(str(caught.value)) < 1100
