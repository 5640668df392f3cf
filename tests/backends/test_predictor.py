"""The fastest way to run a network: with how many threads."""

import numpy as np
import torch

from cic import networks
from cic.networks.initialize import initialize
from cic.system import threads


def test_the_runners_take_that_many_threads_and_give_the_rest_back(backend, monkeypatch):
    network, seen = networks.get("cic", width=0.125), []
    monkeypatch.setattr(threads, "of_network", lambda: seen.append(1) or 2)
    predict = backend.predictor(network, initialize(network), "cpu")
    before = torch.get_num_threads()
    predict(np.zeros((1, 1, 32, 32), np.float32))
    assert seen
    assert torch.get_num_threads() == before
