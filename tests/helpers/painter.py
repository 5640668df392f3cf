"""A colorizer whose network needs no weights: one colour everywhere."""

import os
import time

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


def troubled():
    """One that ends its process of a photo that is tall, waits for ever of a wide one.

    Of a very wide one it takes more memory than there is for a photo.
    """

    def work(array):
        height, width = array.shape[2:]
        if height >= 2 * width:
            os._exit(1)
        if width >= 3 * height:
            np.ones(1 << 30)  # 8 GB
        if width >= 2 * height:
            time.sleep(1000)
        return predict(array)

    return Colorizer(networks.get("cic", width=0.125), work, DEFAULTS.but(size=64))
