"""From a spec to sessions of ONNX Runtime, and an array through one."""

import os
import threading
from functools import lru_cache, partial

import numpy as np
import onnxruntime

from backends.onnx.device import resolve_device
from cic.networks import Network
from cic.networks.initialize import initialize
from cic.system import threads
from cic.system.arrays import Array, State
from cic.system.typing import StrPath
from cic.weights.checkpoint import check
from cic.weights.files import onnx_file
from cic.weights.formats import onnx_layers

_FATAL = 4  # what it logs of itself: an error is an exception as well


class Net:
    """A network in a session for each number of threads, which threads may share."""

    def __init__(self, network: Network, model: bytes, provider: str) -> None:
        self.network = network
        self._session = lru_cache(threads.KEPT)(partial(_session, model, provider))
        self._turn = threading.Lock()

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """That with as many threads as a network should take now; made when first asked for."""
        with self._turn:
            return self._session(threads.for_network())


def build(network: Network, state: State | None = None, device: str = "cpu") -> Net:
    """Return the Net of `network` with `state`, by default `initialize(network)`, in evaluation
    mode.
    """
    provider = resolve_device(device)
    state = initialize(network) if state is None else state
    check(network, state)
    model = bytes(onnx_file.model(onnx_layers.network_graph(network, state), network.name, {}))
    return Net(network, model, provider)


def run_file(path: StrPath, array: Array, device: str = "cpu") -> Array:
    """Run an ONNX file of one input and one output on an array: its output."""
    session = _session(os.fspath(path), resolve_device(device), threads.for_network())
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def _session(model: bytes | str, provider: str, count: int) -> onnxruntime.InferenceSession:
    """Return a session of a model, its bytes or the name of its file, that computes in `count`
    threads.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    options.log_severity_level = _FATAL
    return onnxruntime.InferenceSession(model, options, [provider])


def forward(net: Net, array: Array) -> Array:
    """Return the output of `net` in evaluation mode for an array (N, C, H, W), float32."""
    inputs = np.ascontiguousarray(array, np.float32)
    return net.session.run([onnx_layers.OUTPUT], {onnx_layers.INPUT: inputs})[0]
