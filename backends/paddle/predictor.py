"""The fastest way to run a network: on the CPU Paddle's inference engine with oneDNN."""

import os
import tempfile
import threading

import numpy as np
import paddle
from paddle import inference

from backends.paddle.device import resolve_device
from backends.paddle.network import build, forward
from cic.networks import bounds
from cic.system import threads


def predictor(network, state, device="auto"):
    """Callable (N, C, H, W) float32 -> output of `network` with `state` on `device`."""
    net = build(network, state, device)
    turn = threading.Lock()  # the engine has one input and one output
    if resolve_device(device) != "cpu":

        def predict_there(array):
            with turn:
                return forward(net, array)

        return predict_there
    finite = bounds.are_finite(network, state)
    for module in net.sublayers():
        if hasattr(module, "only_finite"):  # a ReLU, which is faster then
            module.only_finite = finite
    engines = {}  # by the number of their threads: of photos one, of films more

    def predict(array):
        count = threads.of_network()
        with turn:
            if count not in engines:
                engines[count] = _engine(net, count)
            engine = engines[count]
            source = engine.get_input_handle(engine.get_input_names()[0])
            target = engine.get_output_handle(engine.get_output_names()[0])
            source.copy_from_cpu(np.ascontiguousarray(array, np.float32))
            engine.run()
            return target.copy_to_cpu()

    return predict


def _engine(net, count):
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
