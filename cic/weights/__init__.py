"""Weights: read from files of any known format, checked, and written."""

from cic.weights.checkpoint import CheckpointError, save
from cic.weights.reading import default_path, load, load_weights

__all__ = ["CheckpointError", "default_path", "load", "load_weights", "save"]
