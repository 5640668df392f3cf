"""The fastest way to run a network: on the CPU Paddle's inference engine with oneDNN."""

import os
import tempfile
import threading
from contextlib import contextmanager
from functools import lru_cache

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
    if resolve_device(device) == "cpu":
        return _on_the_cpu(net, bounds.are_finite(network, state))
    turn = threading.Lock()

    def predict(array):
        with turn:
            return forward(net, array)

    return predict


def _on_the_cpu(net, only_finite):
    for module in net.sublayers():
        if hasattr(module, "only_finite"):  # a ReLU, which is faster then
            module.only_finite = only_finite
    engines = _Engines(net)

    def predict(array):
        with engines.one(threads.of_network()) as engine:
            source = engine.get_input_handle(engine.get_input_names()[0])
            target = engine.get_output_handle(engine.get_output_names()[0])
            source.copy_from_cpu(np.ascontiguousarray(array, np.float32))
            engine.run()
            return target.copy_to_cpu()

    return predict


class _Engines:
    """Engines of a network: one for each thread that calls at once, which share its weights."""

    def __init__(self, net):
        self.folder = tempfile.TemporaryDirectory()  # an engine is cloned from its file
        self.turn = threading.Lock()
        self.of = lru_cache(threads.KEPT)(self._made)
        shape = [None, net.network.channels, None, None]
        specs = [paddle.static.InputSpec(shape, "float32")]
        paddle.jit.save(net, self._path(), input_spec=specs)

    def _path(self, ending=""):
        return os.path.join(self.folder.name, f"network{ending}")

    def _made(self, count):
        """(an engine of so many threads, those like it that are free)."""
        model = next(filter(os.path.exists, map(self._path, (".json", ".pdmodel"))))
        config = inference.Config(model, self._path(".pdiparams"))
        config.disable_glog_info()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(count)
        engine = inference.create_predictor(config)
        return engine, [engine]

    @contextmanager
    def one(self, count):
        """A context with an engine of so many threads that nobody else has."""
        with self.turn:
            first, free = self.of(count)
            engine = free.pop() if free else first.clone()
        try:
            yield engine
        finally:
            free.append(engine)
