"""Weights: read files of any known format, check them, and write them."""

from cic.weights.checkpoint import CheckpointError, save
from cic.weights.reading import default_path, load, load_weights

__all__ = ["CheckpointError", "default_path", "load", "load_weights", "save"]
