"""Colorful Image Colorization (Zhang, Isola, Efros, ECCV 2016): the framework-neutral core.

NumPy, Pillow, tqdm and the standard library; `backends` holds the two frameworks.
"""

from cic.system.errors import Error

__all__ = ["Error", "__version__"]
__version__ = "0.1.0"
