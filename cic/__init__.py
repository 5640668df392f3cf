"""Colorful Image Colorization (Zhang, Isola, Efros, ECCV 2016): the framework-neutral core.

NumPy, scikit-image, Pillow and the standard library only; `backends` holds the two frameworks.
"""

__version__ = "0.1.0"
