"""The fastest way to run a network: on the CPU Paddle's inference engine with oneDNN."""

import os
import tempfile
import threading
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import paddle
from paddle import inference

from backends.paddle.device import Device, resolve_device
from backends.paddle.network import Net, build, forward
from cic.networks import Network, bounds
from cic.system import threads
from cic.system.arrays import Array, State


def predictor(
    network: Network, state: State, device: str | Device = "auto"
) -> Callable[[Array], Array]:
    """Callable (N, C, H, W) float32 -> output of `network` with `state` on `device`."""
    net = build(network, state, device)
    # The engine has one input and one output, and keeps the interpreter locked while it computes.
    turn = threading.Lock()
    if resolve_device(device) != "cpu":

        def predict_there(array: Array) -> Array:
            with turn:
                return forward(net, array)

        return predict_there
    finite = bounds.are_finite(network, state)
    for module in net.sublayers():
        if hasattr(module, "only_finite"):  # a ReLU, which is faster then
            module.only_finite = finite
    engine_of = lru_cache(threads.KEPT)(partial(_engine, net))

    def predict(array: Array) -> Array:
        with turn:
            engine = engine_of(threads.for_network())
            source = engine.get_input_handle(engine.get_input_names()[0])
            target = engine.get_output_handle(engine.get_output_names()[0])
            source.copy_from_cpu(np.ascontiguousarray(array, np.float32))
            engine.run()
            return target.copy_to_cpu()

    return predict


def _engine(net: Net, count: int) -> inference.Predictor:
    shape = [None, net.network.channels, None, None]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network")
        paddle.jit.save(net, path, input_spec=[paddle.static.InputSpec(shape, "float32")])
        model = path + (".json" if os.path.exists(path + ".json") else ".pdmodel")
        config = inference.Config(model, path + ".pdiparams")
        config.disable_glog_info()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(count)
        return inference.create_predictor(config)
