"""Make weights to hand out from a training checkpoint: small, and with the settings for
colouring.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from cic.colorize import settings
from cic.system.arrays import State
from cic.system.errors import InputError
from cic.system.typing import StrPath
from cic.weights import checkpoint, reading


def release(source: StrPath | Sequence[StrPath], target: StrPath, **changes: Any) -> None:
    """Write the weights of the checkpoint `source` to `target`: kernels in float16, no optimizer.

    They are the average of the weights, if the run kept one; of several sources their mean, which
    is often better than each if one was trained on from the other (Wortsman et al. 2022, "Model
    soups"). `changes` are settings of a colorizer in place of the first checkpoint's own, as
    `settings.Settings.but` takes them; all are kept in the file. Raises CheckpointError, naming the
    file, or InputError for sources of different networks.
    """
    source, *others = [source] if isinstance(source, (str, os.PathLike)) else source
    network, weights, meta = reading.load_weights(source)
    for number, other in enumerate(others, start=2):
        found, more, _ = reading.load_weights(other)
        if found != network:
            raise InputError(f"{other}: of {found}, not of {network} as {source} is")
        weights = _nearer(weights, more, 1 / number)
    # Norms stay in float32: a running variance can exceed float16's 65504, and they are few.
    weights = {n: a.astype(np.float16) if a.ndim > 1 else a for n, a in weights.items()}
    kept = {key: meta[key] for key in checkpoint.RELEASED if key in meta}
    try:
        chosen = settings.of_weights(meta).but(**changes)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{source}: {error}") from None
    facts = checkpoint.network_meta(network) | kept | {"colorize": chosen.facts()}
    checkpoint.save(target, weights, facts)


def _nearer(state: State, other: State, share: float) -> State:
    """Return (1 - share) state + share other, in float32."""
    one, two = np.float32(1 - share), np.float32(share)
    return {name: array * one + other[name] * two for name, array in state.items()}
