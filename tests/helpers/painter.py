"""A colorizer whose network needs no weights: one colour everywhere."""

import numpy as np

from cic import networks
from cic.colorize.colorizer import Colorizer
from cic.colorize.settings import DEFAULTS


def predict(array):
    """Logits of one bin, everywhere."""
    logits = np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)
    logits[:, 20] = 50
    return logits


def paint():
    """A Colorizer that is small and quick."""
    return Colorizer(networks.get("cic", width=0.125), predict, DEFAULTS.but(size=64))
