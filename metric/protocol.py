"""The protocol card: everything that figures depend on, kept beside them."""

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from cic.colour import prior
from cic.system import provenance
from cic.system.typing import Json
from metric.figures import bootstrap, warmth
from metric.pairs import Cut

PAPER, SEED = "error <= threshold (paper)", "error < threshold (Paddle-CIC)"
# Of a classifier's facts, see classifiers.facts, those that its figures hang on, whatever computes
# it.
CLASSIFIER_TERMS = ("network", "weights_sha256", "resize", "crop")
DEFINITIONS = {
    "rmse_ab": "root of the mean square over all pixels and both channels, CIELAB units",
    "psnr": "dB, sRGB, mean over pictures but the identical ones; null if there is no other",
    "ssim": "sRGB, Gaussian window of sigma 1.5, mean over pictures (Wang et al. 2004)",
    "nll, ece": "of the 313 probabilities at temperature 1, on the cells that the network sees",
    "temperatures": "on those cells, too, not on full-size pixels",
    "colourfulness": "M3, mean over pictures (Hasler and Suesstrunk 2003)",
    "auc_balanced": "weights 1 / (p / 2 + 1 / 626), where auc_rebalanced has 1 / p",
    "top1, top5": "percent of the photos whose folder is a class of the classifier named beside",
    "warm": "percent of the pixels with a hue of {} to {} degrees in ab, and chroma over {}".format(
        *warmth.HUES, warmth.CHROMA
    ),
    "intervals": f"{bootstrap.LEVEL:.0%}, percentiles of {bootstrap.REPLICATES} bootstrap "
    f"replicates over photos, seed {bootstrap.SEED}; null of a single photo",
    "less_gray": "difference from all gray, and both ends of its paired interval",
    "heaviest_photo": "the one with the largest share of all weight, of 1",
}


def card(
    count: int,
    cut: Cut,
    seed: int,
    strict: bool = False,
    prior_path: str | None = None,
    *packages: str,
) -> dict[str, Json]:
    """Return the JSON object: how `count` pictures were measured.

    `cut` is a pairs.Cut, `seed` that of the random baseline; `packages` have a version in it, too.
    What the results were made with, temperature and weights, is to be added by who knows.
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
        "temperature": None,
        "weights": None,
        "random_ab_seed": seed,
        "definitions": {"auc": SEED if strict else PAPER} | DEFINITIONS,
        **provenance.facts("skimage", *packages),
    }


def conditions(card: Mapping[str, Json]) -> dict[str, Json]:
    """Return the part of a card, a JSON object, that must be equal before figures can be compared.

    It says nothing of classifiers if there are none: to the other figures they do not matter.
    """
    terms = {
        "resize": card["resize"],
        "crop": card["crop"],
        "prior": card["prior"]["sha256"],
        "AuC": card["definitions"]["auc"],
    }
    if seen := card.get("classifiers"):
        terms["classifiers"] = {
            name: {term: facts[term] for term in CLASSIFIER_TERMS} for name, facts in seen.items()
        }
    return terms
