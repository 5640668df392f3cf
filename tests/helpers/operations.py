"""Count the operations of a training step in two processes, and in one of them alone.

python tests/helpers/ranks.py torch tests/helpers/operations.py torch

It is `cic(width=0.25)`, with 7 batch norms, and 8 crops of 64 pixels in each process. Counted is
what PyTorch dispatches, and what Paddle's profiler lists. Prints a line of JSON.
"""

import json
import os
import sys
from importlib import import_module

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import numpy as np

import backends
from cic import networks
from cic.dataset.batches import Batch
from cic.networks.initialize import initialize
from cic.training import recipes

PHOTOS = 8  # of a process


def of_torch(function):
    """How many operations `function()` has PyTorch dispatch."""
    from torch.utils._python_dispatch import TorchDispatchMode

    calls = []

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            calls.append(operation)
            return operation(*args, **(kwargs or {}))

    with Counted():
        function()
    return len(calls)


def of_paddle(function):
    """How many operations Paddle's profiler lists of `function()`."""
    from paddle import profiler

    cpu, quiet = [profiler.ProfilerTarget.CPU], lambda _: None
    with profiler.Profiler(targets=cpu, on_trace_ready=quiet) as profile:
        function()
    roots = profile.profiler_result.get_data().values()
    return sum(map(_operators, roots))


def _operators(node):
    kind = str(node.type)
    own = "Operator" in kind and "Inner" not in kind
    return own + sum(map(_operators, node.children_node))


def count(backend, processes):
    """Operations of a step of a trainer that is one of so many processes."""
    network = networks.get("cic", width=0.25)
    random = np.random.default_rng(backend.rank())
    shape = (PHOTOS, 5, 16, 16)
    target = random.integers(0, 313, shape, np.int16), random.random(shape)
    batch = Batch(random.normal(size=(PHOTOS, 1, 64, 64)), target, np.arange(PHOTOS))
    recipe = recipes.get("full", batch_size=PHOTOS * processes)
    trainer = backend.Trainer(network, recipe, initialize(network), "cpu", "float32")
    for _ in range(2):
        trainer.step(batch, 1e-5)
    kind = {"torch": of_torch, "paddle": of_paddle}[backend.NAME]
    return kind(lambda: trainer.step(batch, 1e-5))


def main():
    backend = backends.get(sys.argv[1], trains=True)
    backend.join(backend.resolve_device("cpu"))
    found = {"two": count(backend, 2)}
    messages = import_module(f"backends.{backend.NAME}.distributed")
    messages.world_size = lambda: 1
    found["one"] = count(backend, 1)
    if backend.rank() == 0:
        print(json.dumps(found))
    messages.world_size = lambda: 2
    backend.leave()


if __name__ == "__main__":
    main()
