"""Colorization metrics: each a small accumulator in NumPy with `update`, `merge` and `compute`."""
