"""VGG-16 under the names of torchvision's and Paddle's model zoos: features.N, classifier.N."""

from cic import networks
from cic.checkpoint import CheckpointError
from cic.layers import Conv, Linear

SHOWN = 5  # names of each kind that a message has
FULL = 4096  # numbers between fc6, fc7 and fc8 of the network as published


def recognises(arrays):
    """Whether a state dict {name: array} has names of this format."""
    return any(name.startswith(("features.", "classifier.")) for name in arrays)


def names(network):
    """{neutral name: theirs}: convolutions are counted with ReLUs and pools, linear layers by 3."""
    found = {}
    linear = [layer for layer in network.layers if isinstance(layer, Linear)]
    for position, layer in enumerate(network.layers):
        if isinstance(layer, Conv):
            theirs = f"features.{position}"
        elif isinstance(layer, Linear):
            theirs = f"classifier.{3 * linear.index(layer)}"  # a ReLU and a dropout between them
        else:
            continue
        found |= {name: f"{theirs}.{name.rpartition('.')[2]}" for name in layer.parameters}
    return found


def convert(arrays, source):
    """(network, its neutral state) of a state dict; views of its arrays.

    Paddle's linear layers are (in, out), which the first one's shape tells. Raises CheckpointError,
    naming `source`, and what is missing, not known or of another shape.
    """
    network = _network(arrays)
    theirs = names(network)
    first = arrays.get(theirs["fc6.weight"])
    turned = first is not None and first.shape[::-1] == network.state_shapes["fc6.weight"]
    state = {}
    for name, other in theirs.items():
        if other in arrays:
            turn = turned and name.startswith("fc") and arrays[other].ndim == 2
            state[name] = arrays[other].T if turn else arrays[other]
    problems = _problems(network, theirs, arrays, state)
    if problems:
        raise CheckpointError(f"{source}: not weights of {network}: {'; '.join(problems)}")
    return network, state


def _network(arrays):
    """The VGG-16 whose classes and width are those of the last two biases."""
    classes, hidden = (
        arrays[name].size if name in arrays and arrays[name].size else usual
        for name, usual in (("classifier.6.bias", 1000), ("classifier.3.bias", FULL))
    )
    return networks.get("vgg16", classes=classes, width=hidden / FULL)


def _problems(network, theirs, arrays, state):
    known = set(theirs.values())
    wrong = [
        f"{theirs[name]} {array.shape} instead of {network.state_shapes[name]}"
        for name, array in state.items()
        if array.shape != network.state_shapes[name]
    ]
    kinds = {
        "missing": [other for other in theirs.values() if other not in arrays],
        "not known": [other for other in arrays if other not in known],
        "of another shape": wrong,
    }
    return [f"{kind}: {_some(found)}" for kind, found in kinds.items() if found]


def _some(found):
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
