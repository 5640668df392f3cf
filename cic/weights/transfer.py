"""Take the first weights of an encoder from a file of another network with the same encoder."""

from cic.networks import Network
from cic.system.arrays import State
from cic.system.errors import InputError
from cic.system.typing import StrPath
from cic.weights.checkpoint import CheckpointError
from cic.weights.reading import load_weights


def begin(network: Network, state: State, path: StrPath) -> State:
    """Return `state` of `network` with the arrays of its encoder from the file at `path`.

    The rest of the file, such as its classifier, is left away. For a network of one channel a first
    kernel of RGB, (O, 3, k, k), is summed to (O, 1, k, k): in a gray photo R = G = B. Raises
    ValueError for a network without an encoder, CheckpointError if the file's is another one.
    """
    if not network.encoder:
        raise InputError(f"{network} has no encoder that could begin from {path}")
    other, weights, _ = load_weights(path)
    found = {
        name: array
        for name, array in weights.items()
        if network.part(name) is not None or other.part(name) is not None
    }
    wanted = {n: s for n, s in network.state_shapes.items() if network.part(n) is not None}
    first = next(name for name in wanted if name.endswith(".weight"))
    if network.channels == 1 and first in found and found[first].shape[1:2] == (3,):
        found[first] = found[first].sum(1, keepdims=True, dtype="float32")
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        has = weights[name].shape if name in found else "nothing"
        needs = wanted.get(name, "nothing")
        if name not in found or found[name].shape != needs:
            raise CheckpointError(
                f"{path}: not of the encoder of {network}: {name}: the file has {has}, "
                f"the encoder needs {needs}"
            )
    return state | {name: array.astype("float32") for name, array in found.items()}
