"""ONNX Runtime: it runs networks and trains none."""

from backends.onnx.device import resolve_device
from backends.onnx.network import build, forward, run_file
from backends.onnx.predictor import predictor

NAME = "onnx"

__all__ = ["NAME", "build", "forward", "predictor", "resolve_device", "run_file"]
