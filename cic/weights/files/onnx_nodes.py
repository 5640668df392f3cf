"""What the nodes of an ONNX graph do, as lists that JSON takes: equal if they compute the same.

Names of nodes, notes and shapes, which other programs add, are left out.
"""

from cic.system.typing import Json
from cic.weights.files.protobuf import Reader, inner, text

DEEPEST = 3  # graphs inside of graphs
# Fields of the messages of onnx/onnx.proto.
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # NodeProto
_NAME, _GRAPH, _TEXTS = 1, 6, (13, 21)  # AttributeProto; its notes, its name in a function
_NODE, _ARRAY, _INPUTS, _OUTPUTS = 1, 5, 11, 12  # GraphProto


def node(data: memoryview, fields: Reader, depth: int = 0) -> Json:
    """Return [operator, domain, inputs, outputs, attributes] of a NodeProto."""
    operator, domain = "", ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[Json] = []
    for number, value in fields(data):
        if number == _ATTRIBUTE:
            attributes.append(_attribute(inner(value), fields, depth))
        elif number in (_INPUT, _OUTPUT):
            (inputs if number == _INPUT else outputs).append(text(value))
        elif number == _OPERATOR:
            operator = text(value)
        elif number == _DOMAIN:
            domain = text(value)
    return [operator, domain, inputs, outputs, sorted(attributes)]


def _attribute(data: memoryview, fields: Reader, depth: int) -> Json:
    """Return [name, other fields in the order of their numbers] of an AttributeProto."""
    name = ""
    found: list[tuple[int, Json]] = []
    for number, value in fields(data):
        if number == _NAME:
            name = text(value)
        elif number == _GRAPH:
            found.append((number, _graph(inner(value), fields, depth + 1)))
        elif number not in _TEXTS:
            found.append((number, value if isinstance(value, int) else bytes(value).hex()))
    return [name, sorted(found, key=lambda part: part[0])]


def _graph(data: memoryview, fields: Reader, depth: int) -> Json:
    """Return [nodes, arrays, inputs, outputs] of a GraphProto in an attribute."""
    if depth > DEEPEST:
        raise ValueError("its graphs are too deep")
    parts: dict[int, list[Json]] = {_NODE: [], _ARRAY: [], _INPUTS: [], _OUTPUTS: []}
    for number, value in fields(data):
        if number == _NODE:
            parts[number].append(node(inner(value), fields, depth))
        elif number == _ARRAY:
            parts[number].append(inner(value).hex())
        elif number in (_INPUTS, _OUTPUTS):
            names = [text(part) for place, part in fields(inner(value)) if place == 1]
            parts[number].append(names)
    return list(parts.values())
