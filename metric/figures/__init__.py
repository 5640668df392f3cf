"""Each figure: a small accumulator with `update`, `merge` and `compute`."""
