"""ONNX: a graph of operators with its arrays, written and read without the package of that name.

The messages are those of onnx/onnx.proto. Reading looks only at a file's arrays, its metadata, what
its nodes do, and the names of its inputs and outputs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, TypeAlias

import numpy as np

import cic
from cic.system.arrays import Array, State
from cic.system.errors import InputError
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath
from cic.weights.files import onnx_nodes
from cic.weights.files.protobuf import Message, Reader, Value, inner, text

PRODUCER = "cic"
OPSET, IR = 17, 8  # of ONNX 1.12 (2022); every later runtime reads them
LARGEST = 2**31 - 1  # bytes of a protocol buffer
MOST_AXES = 32
SHOWN = 6  # names that a message has
DTYPES: dict[int, np.dtype[Any]] = {  # of a TensorProto's data_type
    code: np.dtype(kind)
    for code, kind in ((1, "<f4"), (7, "<i8"), (9, "?"), (10, "<f2"), (11, "<f8"))
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
FLOAT, INTEGER, BOOL = 1, 7, 9
_EXTERNAL = 1  # a TensorProto's data_location
Dimension: TypeAlias = int | str  # a size, or the name of one that is not fixed
Attribute: TypeAlias = "int | float | str | Sequence[int] | Sequence[float] | Graph"


class Graph:
    """A graph in the making: a call adds a node and returns the name of its output.

    A graph inside another, the body of a loop, shares the names of its `outer` graph and sees its
    values.
    """

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.numbers: Iterator[int] = outer.numbers if outer else count()
        self.nodes: list[Message] = []
        self.tensors: dict[str, Message] = {}
        self.inputs: list[Message] = []
        self.outputs: list[Message] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def __call__(
        self, operator: str, *inputs: str, called: str = "", **attributes: Attribute
    ) -> str:
        """Add a node of an `operator` on values; its output's name, `called` if it is given."""
        [output] = self.many(operator, *inputs, outputs=[called or self._fresh()], **attributes)
        return output

    def many(
        self, operator: str, *inputs: str, outputs: int | list[str], **attributes: Attribute
    ) -> list[str]:
        """Add a node of several `outputs`, their names or how many; their names."""
        if isinstance(outputs, int):
            outputs = [self._fresh() for _ in range(outputs)]
        node = Message([(1, [*inputs]), (2, [*outputs]), (4, operator)])
        for name, value in attributes.items():
            node.add(5, _attribute(name, value))
        self.nodes.append(node)
        return outputs

    def _fresh(self) -> str:
        return f"/{next(self.numbers)}"

    def constant(self, value: Any, dtype: str = "f4") -> str:
        """Return the name of an array that is no weight; of equal ones there is one."""
        array = np.asarray(value, dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.constants:
            self.constants[key] = self.array(self._fresh(), array)
        return self.constants[key]

    def whole(self, *values: int) -> str:
        """Return the name of a list of whole numbers, (n,)."""
        return self.constant(values, "i8")

    def array(self, name: str, array: Array) -> str:
        """Add an array under its name, which is given back."""
        self.tensors[name] = tensor(name, array)
        return name

    def take(self, name: str, shape: Sequence[Dimension], kind: int = FLOAT) -> str:
        """Declare an input of that name and shape, which is given back."""
        self.inputs.append(_value(name, shape, kind))
        return name

    def give(self, name: str, shape: Sequence[Dimension], kind: int = FLOAT) -> None:
        """Declare the value of that name as an output."""
        self.outputs.append(_value(name, shape, kind))

    def without(self, names: Collection[str]) -> "Graph":
        """Return the graph without the arrays of these names."""
        found = copy(self)
        found.tensors = {name: one for name, one in self.tensors.items() if name not in names}
        return found

    def message(self, name: str) -> Message:
        """Return the GraphProto."""
        parts: list[tuple[int, Value]] = [(1, list(self.nodes)), (2, name)]
        return Message(
            [*parts, (5, [*self.tensors.values()]), (11, [*self.inputs]), (12, [*self.outputs])]
        )


def tensor(name: str, array: Array) -> Message:
    """Return the TensorProto of an array."""
    array = np.require(array, requirements="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in _CODES:
        raise InputError(f"{name}: ONNX files are not written with numbers of type {array.dtype}")
    data = array.reshape(-1).view(np.uint8).data
    return Message([(1, list(array.shape)), (2, _CODES[array.dtype]), (8, name), (9, data)])


def _attribute(name: str, value: Attribute) -> Message:
    if isinstance(value, int):
        parts: list[tuple[int, Value]] = [(3, value), (20, 2)]
    elif isinstance(value, float):
        parts = [(2, value), (20, 1)]
    elif isinstance(value, str):
        parts = [(4, value), (20, 3)]
    elif isinstance(value, Graph):
        parts = [(6, value.message(name)), (20, 5)]
    elif all(isinstance(one, int) for one in value):
        parts = [(8, list(value)), (20, 7)]
    else:
        parts = [(7, list(map(float, value))), (20, 6)]
    return Message([(1, name), *parts])


def _value(name: str, shape: Sequence[Dimension], kind: int) -> Message:
    """Return the ValueInfoProto."""
    sizes = [Message([(1 if isinstance(size, int) else 2, size)]) for size in shape]
    array = Message([(1, kind), (2, Message([(1, list(sizes))]))])
    return Message([(1, name), (2, Message([(1, array)]))])


def model(graph: Graph, name: str, texts: Mapping[str, str], about: str = "") -> Message:
    """Return the ModelProto of a Graph with metadata; raise InputError if it is too large for
    one.
    """
    opset = Message([(1, ""), (2, OPSET)])
    parts: list[tuple[int, Value]] = [(1, IR), (2, PRODUCER), (3, cic.__version__), (6, about)]
    entries: list[Value] = [Message([(1, key), (2, value)]) for key, value in texts.items()]
    found = Message([*parts, (8, opset), (14, entries), (7, graph.message(name))])
    if found.size > LARGEST:
        raise InputError(f"{name}: {found.size:,} bytes; an ONNX file holds {LARGEST:,}")
    return found


def write(path: StrPath, made: Message) -> None:
    """Write a ModelProto to `path`, atomically."""
    with replacing(path) as fresh, open(fresh, "wb") as file:
        for piece in made.pieces:
            file.write(piece)


@dataclass
class Model:
    """The parts of a file that are read: `texts` are its metadata, `arrays` views of its bytes.

    `inputs` and `outputs` are names; `nodes` and `stored` are the numbers of nodes and of all
    arrays. `work` is what the nodes do, see `onnx_nodes`, by the definitions of version `opset`.
    """

    producer: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    arrays: State = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    opset: int = 0
    work: list[Json] = field(default_factory=list)
    nodes: int = 0
    stored: int = 0

    def __str__(self) -> str:
        names = ", ".join([*self.inputs, *self.outputs][:SHOWN]) or "none"
        maker = f" of {self.producer}" if self.producer else ""
        return f"a graph{maker}, {self.nodes} nodes, {self.stored} arrays, in and out: {names}"


_FIRST = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)  # tags of a ModelProto's other fields


def recognises(start: bytes) -> bool:
    """Return whether a file that starts with these bytes may be one: a number, then fields of a
    model.
    """
    return len(start) > 2 and start[0] == 8 and 0 < start[1] <= 32 and start[2] in _FIRST


def read(path: StrPath, needed: str) -> Model:
    """Read a Model; leave its arrays out unless its metadata has the text called `needed`.

    Such a file, or another of this project, that is damaged raises ValueError; of any other there
    is what could be read until then.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if size > LARGEST:
            raise ValueError(f"{size:,} bytes, more than an ONNX file can have")
        file.seek(0)
        data = memoryview(file.read())
    found = Model()
    try:
        _read_model(data, Reader(), found, needed)
    except ValueError:
        if needed in found.texts or found.producer == PRODUCER:
            raise
    return found


def parsed(made: Message, needed: str) -> Model:
    """Return the Model of a ModelProto that has the text called `needed`."""
    found = Model()
    _read_model(memoryview(bytes(made)), Reader(), found, needed)
    return found


def _read_model(data: memoryview, fields: Reader, found: Model, needed: str) -> None:
    graph = memoryview(b"")
    for number, value in fields(data):
        if number == 2:
            found.producer = text(value)
        elif number == 14:
            texts = {part: text(one) for part, one in fields(inner(value))}
            found.texts[texts.get(1, "")] = texts.get(2, "")
        elif number == 8:
            _read_opset(dict(fields(inner(value))), found)
        elif number == 7:
            graph = inner(value)
    _read_graph(graph, fields, found, needed in found.texts)


def _read_opset(parts: Mapping[int, int | memoryview], found: Model) -> None:
    """Note the version of ONNX's own operators; other programs may name those of others."""
    version = parts.get(2, 0)
    if isinstance(version, int) and not (1 in parts and text(parts[1])):
        found.opset = version


def _read_graph(data: memoryview, fields: Reader, found: Model, whole: bool) -> None:
    for number, value in fields(data):
        if number == 1:
            found.nodes += 1
            if whole:
                found.work.append(onnx_nodes.node(inner(value), fields))
        elif number == 5:
            found.stored += 1
            if whole:
                name, array = _read_tensor(inner(value), fields)
                if name in found.arrays:
                    raise ValueError(f"two arrays are called {name[:50]!r}")
                found.arrays[name] = array
        elif number in (11, 12):
            names = [text(part) for place, part in fields(inner(value)) if place == 1]
            (found.inputs if number == 11 else found.outputs).extend(names)


def _read_tensor(data: memoryview, fields: Reader) -> tuple[str, Array]:
    """Return (name, array) of a TensorProto."""
    name, code = "", 0
    shape: list[int] = []
    raw, is_elsewhere = memoryview(b""), False
    for number, value in fields(data):
        if number == 1 and isinstance(value, int):
            shape.append(value)
        elif number == 2 and isinstance(value, int):
            code = value
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = inner(value)
        elif number == 14:  # data_location
            is_elsewhere = value == _EXTERNAL
    if is_elsewhere:
        raise ValueError(
            f"{name[:50]!r} lies in another file: save it as one file, without external data"
        )
    if code not in DTYPES:
        raise ValueError(f"{name[:50]!r} holds numbers of type {code}, which are not read here")
    dtype = DTYPES[code]
    possible = len(shape) <= MOST_AXES and max(shape, default=0) <= LARGEST
    if not possible or prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{name[:50]!r} has {len(raw):,} bytes, not those of its shape")
    array = np.frombuffer(raw, dtype).reshape(shape)
    return name, array.astype(dtype.newbyteorder("="), copy=False)
