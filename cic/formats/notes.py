"""What of a checkpoint of ours another project's file cannot say, noted beside its arrays.

The network's exact options, how it decodes, which arrays were float16, and what those were that are
scaled to the other project's input: so that a file which comes back is the one that went.
"""

import base64

import numpy as np

from cic.checkpoint import CheckpointError, network_of
from cic.formats.compare import difference

NAME = "cic.json"


def make(meta, state, factors):
    """The note, a JSON object, of a neutral state of which `factors` {array: factor} are scaled."""
    halves = [name for name, array in state.items() if array.dtype == np.float16]
    scaled = {
        name: [factor, state[name].dtype.str, base64.b64encode(state[name].tobytes()).decode()]
        for name, factor in factors.items()
    }
    kept = {key: meta[key] for key in ("network", "options", "colorize") if key in meta}
    return {"meta": kept, "halves": halves, "scaled": scaled}


def applied(note, network, state, source):
    """(network, state, meta) as they were before `save`; raises CheckpointError if not these."""
    try:
        own, state = network_of(note["meta"], source), dict(state)
        before = {name: state[name].astype(np.float16) for name in note["halves"]}
        scale = network.scale
        for name, (factor, dtype, data) in note["scaled"].items():
            values = np.frombuffer(base64.b64decode(data), dtype).reshape(state[name].shape)
            before[name], scale = values, scale / factor
        for name, array in before.items():
            factor = note["scaled"].get(name, [1])[0]
            if not np.array_equal(array.astype(np.float32) * np.float32(factor), state[name]):
                raise ValueError(name)
        if difference(own, network, inputs=False) or not np.allclose(own.scale, scale):
            raise ValueError(own.name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{source}: its note is not of these weights: {error}") from None
    return own, state | before, note["meta"]
