"""Names of the types of arrays. Their shapes, units and ranges are in the docstrings."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]  # of any dtype: a function's docstring says which
Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.integer[Any]]  # of any width
Bytes: TypeAlias = NDArray[np.uint8]
Truths: TypeAlias = NDArray[np.bool_]
State: TypeAlias = dict[str, Array]  # {neutral name: array}
Shape: TypeAlias = tuple[int, ...]
