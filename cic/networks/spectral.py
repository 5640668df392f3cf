"""Spectral norm of a kernel, tracked by power iteration (Miyato et al. 2018, algorithm 1).

A kernel counts as a matrix (outputs, the rest). `u` (outputs,) and `v` (the rest,) are its first
singular vectors, as near as the iterations have come; its spectral norm is u . (W v).
"""

from collections.abc import Mapping

import numpy as np

from cic import networks
from cic.networks.network import Network
from cic.system.arrays import Array, State
from cic.system.errors import InputError

EPSILON = 1e-12  # added to a vector's length
FIRST = 15  # iterations that follow a fresh u


def _unit(vector: Array) -> Array:
    return vector / (np.linalg.norm(vector) + EPSILON)


def iterate(weight: Array, u: Array, steps: int = 1) -> tuple[Array, Array]:
    """Return (u, v) after `steps` of power iteration of a kernel (O, ...) from u (O,)."""
    matrix = weight.reshape(len(weight), -1)
    for _ in range(steps):
        v = _unit(matrix.T @ u)
        u = _unit(matrix @ v)
    return u, v


def normalised(weight: Array, u: Array, v: Array) -> Array:
    """Return the kernel (O, ...) divided by its spectral norm u . (W v)."""
    return weight / (u @ (weight.reshape(len(weight), -1) @ v))


def before(weight: Array, v: Array) -> Array:
    """u, from which one step of power iteration of a kernel (O, ...) leads to v, or nearest it."""
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    u, *_ = np.linalg.lstsq(matrix @ matrix.T, matrix @ v, rcond=None)
    return _unit(u).astype(np.float32)


def folded(network: Network, state: Mapping[str, Array]) -> tuple[Network, State]:
    """Return (network without spectral norms, its state) that computes what `network` does with
    `state`.

    Raises ValueError if it has none.
    """
    names = [layer.name for layer in network.flat if getattr(layer, "spectral", False)]
    if not names:
        raise InputError(f"{network} has no spectral norm to fold")
    state = dict(state)
    for name in names:
        u, v = state.pop(f"{name}.weight_u"), state.pop(f"{name}.weight_v")
        state[f"{name}.weight"] = normalised(state[f"{name}.weight"], u, v)
    return networks.get(network.name, **network.options | {"spectral": False}), state
