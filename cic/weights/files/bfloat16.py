"""bfloat16: the upper half of a float32. NumPy has no such type."""

import numpy as np

from cic.system.arrays import Array, Floats


def widened(bits: Array) -> Floats:
    """Return float32 array of the numbers whose bfloat16 are `bits`, uint16 of any shape; exact."""
    high = bits.astype(np.uint32)
    high <<= 16
    return high.view(np.float32)
