"""Colorful Image Colorization (Zhang, Isola, Efros, ECCV 2016): the framework-neutral core.

NumPy, Pillow, safetensors, tqdm and the standard library; `backends` holds the two frameworks.
"""

__version__ = "0.1.0"
