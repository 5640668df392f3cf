"""What the tests of moved weights share."""

import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cic.networks.initialize import initialize
from helpers import started

TOOL = Path(__file__).parents[2] / "tools" / "port_weights.py"


def random_state(network, seed=1):
    """A state with statistics and affine parameters that are not trivial."""
    random = np.random.default_rng(seed)
    state = initialize(network, seed)
    for name, array in state.items():
        if array.ndim == 1 and not name.endswith(("weight_u", "weight_v")):
            state[name] = random.uniform(0.3, 2, array.shape).astype(np.float32)
    return state


def same(one, other):
    """Whether two {name: array} are alike to the bit."""
    return one.keys() == other.keys() and all(
        (one[name].dtype, one[name].shape) == (other[name].dtype, other[name].shape)
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def apart(output, expected):
    """Largest difference, as a share of the scale of what is expected."""
    return np.abs(output - expected).max() / np.abs(expected).max()


def run(*arguments):
    """The finished tool."""
    return started.run(TOOL, *arguments, cwd=Path.cwd())


@contextmanager
def class_elsewhere(net, name, module):
    """The net is of a class of that name in a module that is gone afterwards."""
    kind, own = type(name, (type(net),), {"__module__": module}), type(net)
    sys.modules[module] = types.ModuleType(module)
    setattr(sys.modules[module], name, kind)
    net.__class__ = kind
    try:
        yield net
    finally:
        del sys.modules[module]
        net.__class__ = own
