"""Colour: CIELAB, the 313 bins of ab, distributions over them, how often each bin occurs."""

from cic.colour.bins import AB
from cic.colour.distributions import decode, soft_encode
from cic.colour.lab import lab_to_rgb, rgb_to_lab
from cic.colour.rebalance import smooth, weights

__all__ = ["AB", "decode", "lab_to_rgb", "rgb_to_lab", "smooth", "soft_encode", "weights"]
