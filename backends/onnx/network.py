"""From a spec to a session of ONNX Runtime, and an array through it."""

import os

import numpy as np
import onnxruntime

from backends.onnx.device import resolve_device
from cic.networks.initialize import initialize
from cic.weights.checkpoint import check
from cic.weights.files import onnx_file
from cic.weights.formats import onnx_layers

_FATAL = 4  # what it logs of itself: an error is an exception as well


class Net:
    """A network in a session, which threads may share."""

    def __init__(self, network, session):
        self.network, self.session = network, session


def build(network, state=None, device="cpu"):
    """Net of `network` with `state`, by default `initialize(network)`, in evaluation mode."""
    provider = resolve_device(device)
    state = initialize(network) if state is None else state
    check(network, state)
    model = bytes(onnx_file.model(onnx_layers.plain(network, state), network.name, {}))
    return Net(network, _session(model, provider))


def run_file(path, array, device="cpu"):
    """What an ONNX file of one input and one output puts out for an array."""
    session = _session(os.fspath(path), resolve_device(device))
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def _session(model, provider):
    """A session of a model, its bytes or the name of its file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = _FATAL
    return onnxruntime.InferenceSession(model, options, [provider])


def _threads():
    """How many threads OMP_NUM_THREADS asks for, as for the frameworks, or as there are cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def forward(net, array):
    """Output of `net` in evaluation mode for an array (N, C, H, W), float32."""
    inputs = np.ascontiguousarray(array, np.float32)
    return net.session.run([onnx_layers.OUTPUT], {onnx_layers.INPUT: inputs})[0]
