"""The protocol card: what figures depend on, to be kept beside them."""

import hashlib
import os

import numpy as np

from cic import pretrained, prior, provenance

PAPER, SEED = "error <= threshold (paper)", "error < threshold (Paddle-CIC)"
DEFINITIONS = {
    "rmse_ab": "root of the mean square over all pixels and both channels, CIELAB units",
    "psnr": "dB, sRGB, mean over pictures but the identical ones; null if there is no other",
    "ssim": "sRGB, Gaussian window of sigma 1.5, mean over pictures (Wang et al. 2004)",
    "colourfulness": "M3, mean over pictures (Hasler and Suesstrunk 2003)",
}


def card(count, cut, seed, strict=False, prior_path=None, temperature=None, weights=None):
    """JSON object: how `count` pictures were measured.

    `cut` is a pairs.Cut, `seed` that of the random baseline; temperature and weights (a path) are
    those of the results, None where nobody knows, as of a folder of pictures.
    """
    shares = prior.read(prior_path) if prior_path else prior.default()
    return {
        "count": count,
        "resize": cut.resize,
        "crop": cut.crop,
        "prior": {
            "name": os.path.basename(prior_path) if prior_path else "bundled",
            "sha256": hashlib.sha256(np.asarray(shares, "<f8").tobytes()).hexdigest(),
        },
        "temperature": temperature,
        "weights": weights
        and {"name": os.path.basename(weights), "sha256": pretrained.sha256(weights)},
        "random_ab_seed": seed,
        "definitions": {"auc": SEED if strict else PAPER} | DEFINITIONS,
        **provenance.facts("skimage"),
    }
