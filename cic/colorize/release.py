"""Weights to hand out, made of a training checkpoint: small, and with how photos are coloured."""

from typing import Any

import numpy as np

from cic.colorize import settings
from cic.system.typing import StrPath
from cic.weights import checkpoint, reading


def release(source: StrPath, target: StrPath, **changes: Any) -> None:
    """Write the weights of the checkpoint `source` to `target`: kernels in float16, no optimizer.

    They are the average of the weights, if the run kept one. `changes` are settings of a colorizer
    in place of the checkpoint's own, as `settings.Settings.but` takes them; all are kept in the
    file. Raises CheckpointError, naming the file.
    """
    network, weights, meta = reading.load_weights(source)
    # Norms stay in float32: a running variance can exceed float16's 65504, and they are few.
    weights = {n: a.astype(np.float16) if a.ndim > 1 else a for n, a in weights.items()}
    kept = {key: meta[key] for key in checkpoint.RELEASED if key in meta}
    try:
        chosen = settings.of_weights(meta).but(**changes)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{source}: {error}") from None
    facts = checkpoint.network_meta(network) | kept | {"colorize": chosen.facts()}
    checkpoint.save(target, weights, facts)
