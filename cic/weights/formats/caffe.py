"""The authors' Caffe release, v1, v2 and v2_norebal: read, never written.

The binary files are protocol buffers (src/caffe/proto/caffe.proto). This module defines only the
messages that hold numbers, and a blob's numbers as bytes, so that they never become Python objects.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from math import prod
from typing import Any, BinaryIO

import numpy as np

from cic import networks
from cic.networks import Network
from cic.system.arrays import Array, State
from cic.system.errors import MissingError
from cic.system.regular import open_regular
from cic.system.typing import StrPath
from cic.weights.checkpoint import CheckpointError
from cic.weights.files.groups import Group
from cic.weights.files.read_frameworks import Contents
from cic.weights.formats import trunk
from cic.weights.formats.trunk import Trunk

LAYER, V1_LAYER = 100, 2  # fields of NetParameter: `layer` since 2014, and `layers` before
_BLOBS = {LAYER: 7, V1_LAYER: 6}  # the fields of a layer that are blobs
_SHAPE = 7  # the field of a blob that has its shape, a few bytes
MOST = 100_000  # fields of layers and blobs in a file, and bytes of shapes; real ones have 10,000
_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 100}  # of a NetParameter
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types
REHEAT = 2.606  # conv8_313_rh of colorization_deploy_v2.prototxt: 1 / 0.38, as they wrote it
_LEFT = {
    "class8_ab": "the bins, which their script sets before it runs",
    "data_ab_ss": "it makes the training target",
    "data_l_meansub": "the mean of L, which is in the metadata",
    "conv8_313_rh": "the temperature, which is in the metadata",
}


def recognises(file: BinaryIO) -> bool:
    """Return whether the binary `file` begins as such a file does, before its first layer."""
    size = file.seek(0, 2)
    file.seek(0)
    try:
        for _ in range(50):
            number, kind, length = _field(file, size)
            if number not in _FIELDS or (number == 1 and kind != _BYTES):
                return False  # others begin with a number: ONNX, states of Caffe's solver
            if number in (LAYER, V1_LAYER):
                return kind == _BYTES
            file.seek(length, 1)
    except ValueError:
        return False
    return False


def read(path: StrPath) -> State:
    """Return {"layer.0": array, "layer.1": ...}, the blobs of every layer; raise
    CheckpointError.
    """
    try:
        with open_regular(path) as file:
            return _read(file)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not a Caffe model: {reason}") from None


def read_groups(path: StrPath) -> Contents:
    """Return the Contents of a file: one Group of what `read` gives."""
    return Contents([Group("", read(path))], None, None)


def _read(file: BinaryIO) -> State:
    messages, decode_error = _messages()
    arrays: State = {}
    size, fields = file.seek(0, 2), 0
    file.seek(0)
    while file.tell() < size:
        number, kind, length = _field(file, size)
        if number not in messages or kind != _BYTES:
            file.seek(length, 1)
            continue
        fields = _check_fields(file, file.tell() + length, number, fields)
        try:
            layer = messages[number].FromString(file.read(length))
        except decode_error as error:
            raise ValueError(f"a damaged layer: {error}") from None
        for place, blob in enumerate(layer.blobs):
            name = f"{layer.name}.{place}"
            if name in arrays:
                raise ValueError(f"two layers are called {layer.name!r}")
            arrays[name] = _array(blob, name)
    return arrays


def _field(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return (number, wire type, bytes that follow) of the field where `file` stands."""
    tag = _varint(file)
    number, kind = tag >> 3, tag & 7
    if kind == _VARINT:
        _varint(file)
        return number, kind, 0
    if kind not in (_BYTES, _EIGHT, _FOUR) or not number:
        raise ValueError(f"byte {file.tell()} is no field")
    length = _varint(file) if kind == _BYTES else {_EIGHT: 8, _FOUR: 4}[kind]
    if length > size - file.tell():
        raise ValueError(f"cut off in a field of {length} bytes")
    return number, kind, length


def _check_fields(file: BinaryIO, end: int, number: int, count: int) -> int:
    """Return `count` and the fields of the layer where `file` stands, which ends at `end`, and its
    blobs.

    Leaves the file there. Raises ValueError if they are more than MOST: an object is made of each.
    """
    begin = file.tell()
    todo: list[tuple[int, int, int | None]] = [(file.tell(), end, _BLOBS[number])]
    while todo:
        place, stop, blobs = todo.pop()
        file.seek(place)
        while file.tell() < stop:
            field, kind, length = _field(file, stop)
            count += 1
            if field == blobs and kind == _BYTES:
                todo.append((file.tell(), file.tell() + length, None))
            elif blobs is None and field == _SHAPE:
                count += length
            if count > MOST:
                raise ValueError(f"more than {MOST:,} fields")
            file.seek(length, 1)
    file.seek(begin)
    return count


def _varint(file: BinaryIO) -> int:
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            raise ValueError("cut off")
        value |= (byte[0] & 0x7F) << 7 * place
        if byte[0] < 0x80:
            return value
    raise ValueError(f"byte {file.tell()} ends no number")


def _array(blob: Any, name: str) -> Array:
    """Return a blob's numbers, float32 or float64, in its shape; views of its bytes."""
    data = (blob.data, "<f4") if blob.data else (blob.double_data, "<f8")
    values = np.frombuffer(data[0][0] if len(data[0]) == 1 else b"".join(data[0]), data[1])
    old = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
    if min(shape, default=0) < 0 or prod(shape) != values.size:
        raise ValueError(f"{name} has {values.size} numbers, not those of {shape}")
    while not blob.HasField("shape") and len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]  # a bias was (1, 1, 1, N)
    return values.reshape(shape)


@cache
def _messages() -> tuple[dict[int, Any], type[Exception]]:
    """Return ({field of NetParameter: class of its message}, the error that parsing raises)."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError:
        raise MissingError("Caffe's files are read with protobuf: pip install protobuf") from None
    file = descriptor_pb2.FileDescriptorProto(name="cic/caffe.proto", package="cic.caffe")
    kinds = {"int32": 5, "int64": 3, "string": 9, "bytes": 12}

    def define(name: str, fields: dict[str, tuple[Any, ...]]) -> None:
        made = file.message_type.add(name=name)
        for field, (number, kind, *repeated) in fields.items():
            one = made.field.add(name=field, number=number, label=3 if repeated else 1)
            one.type = kinds.get(kind, 11)
            if kind not in kinds:
                one.type_name = f".cic.caffe.{kind}"

    sizes = {n: (i, "int32") for i, n in enumerate(("num", "channels", "height", "width"), 1)}
    numbers = {"data": (5, "bytes", "repeated"), "double_data": (8, "bytes", "repeated")}
    define("Shape", {"dim": (1, "int64", "repeated")})
    define("Blob", {**sizes, **numbers, "shape": (_SHAPE, "Shape")})
    define("Layer", {"name": (1, "string"), "blobs": (_BLOBS[LAYER], "Blob", "repeated")})
    define("V1Layer", {"name": (4, "string"), "blobs": (_BLOBS[V1_LAYER], "Blob", "repeated")})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = {LAYER: "cic.caffe.Layer", V1_LAYER: "cic.caffe.V1Layer"}
    classes = {
        number: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for number, name in names.items()
    }
    return classes, message.DecodeError


class Caffe(Trunk):
    """colorization_release_v2: convolutions with weight and bias, norms without either."""

    name = "caffe"
    about = "colorization_release of richzhang/colorization (Caffe)"
    suffixes = (".caffemodel",)
    temperature = 1 / REHEAT

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return "conv8_313.0" in arrays or "bw_conv1_1.0" in arrays

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return {re.sub(r"^conv1_1\.", "bw_conv1_1.", name): a for name, a in arrays.items()}

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        biases = [arrays.get(f"conv{block}_2.1") for block in range(1, 9)]
        return networks.get("cic", width=trunk.width_of(biases))

    def theirs(self, network: Network) -> Network:
        layers = list(chain(*trunk.blocks(trunk.channels_of(network))))
        layers[0] = replace(layers[0], name="bw_conv1_1")
        return Network("LtoAB", tuple(layers), mean=50.0, scale=1.0)

    def key(self, name: str) -> str:
        layer, _, part = name.rpartition(".")
        if not layer.endswith("norm"):
            return f"{layer}.{('weight', 'bias').index(part)}"
        blobs = {"running_mean": "0", "running_var": "1", "weight": "(1)", "bias": "(0)"}
        return f"{layer}.{blobs[part]}"

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        """Sums are divided by their factor, as batch_norm_layer.cpp does; scale 1, shift 0."""
        found = super().tensors(theirs, arrays)
        for layer in {name.rpartition(".")[0] for name in theirs.statistics}:
            if f"{layer}.2" not in arrays:
                continue
            (factor,) = arrays[f"{layer}.2"]
            share = np.float32(0 if factor == 0 else 1 / factor)
            for part in ("running_mean", "running_var"):
                if f"{layer}.{part}" in found:
                    found[f"{layer}.{part}"] = found[f"{layer}.{part}"] * share
            count = theirs.state_shapes[f"{layer}.weight"]
            found[f"{layer}.weight"] = np.ones(count, np.float32)
            found[f"{layer}.bias"] = np.zeros(count, np.float32)
        return found

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        found = {}
        for name, array in arrays.items():
            layer, _, place = name.rpartition(".")
            if layer in _LEFT:
                found[name] = _LEFT[layer]
            elif layer.endswith("norm") and place == "2":
                found[name] = "the factor that its sums were divided by"
                if array.shape != (1,):
                    raise ValueError(f"{name} is {array.shape}, not one number")
        if not np.all(arrays.get("data_l_meansub.1", -50) == -50):
            raise ValueError("data_l_meansub does not take 50 from L")
        return found

    def temperature_of(self, arrays: Mapping[str, Array]) -> float:
        reheat = np.unique(arrays.get("conv8_313_rh.0", REHEAT))
        if reheat.size != 1 or not reheat[0] > 0:
            raise ValueError("conv8_313_rh is no single temperature")
        return float(1 / reheat[0])


FORMAT = Caffe()
