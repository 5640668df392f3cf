"""The fastest way to run a network: with how many threads, and in several of ours at once."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import backends
from cic import networks
from cic.networks.initialize import initialize
from cic.system import threads
from cic.training import recipes

NETWORK = networks.get("cic", width=0.125)
SIDES = (32, 64, 96)


@pytest.fixture(params=backends.available())
def runner(request):
    """Each backend that is installed."""
    return backends.get(request.param)


@pytest.fixture
def computing(runner, monkeypatch):
    """The numbers of threads with which engines are made, or PyTorch computes, from now on."""
    seen = []
    if runner.NAME == "onnx":
        made = runner.network._session
        session = lambda *given: (seen.append(given[-1]), made(*given))[1]  # noqa: E731
        monkeypatch.setattr(runner.network, "_session", session)
    elif runner.NAME == "paddle":
        from paddle import inference

        made = inference.Config.set_cpu_math_library_num_threads
        monkeypatch.setattr(
            inference.Config,
            "set_cpu_math_library_num_threads",
            lambda config, count: (seen.append(count), made(config, count))[1],
        )
    else:
        import torch

        module = importlib.import_module("backends.torch.predictor")
        made = module.forward
        forward = lambda *given: (seen.append(torch.get_num_threads()), made(*given))[1]  # noqa: E731
        monkeypatch.setattr(module, "forward", forward)
    return seen


def picture(side):
    return np.random.default_rng(side).random((1, 1, side, side), np.float32) * 90 - 45


def test_a_forward_takes_the_threads_of_the_rule(runner, computing, monkeypatch):
    predict = runner.predictor(NETWORK, initialize(NETWORK), "cpu")
    assert not computing, "nothing is made before it is known for how many threads"
    try:
        threads.limit(3)
        predict(picture(32))
        with threads.batch_of(2):
            predict(picture(32))
        threads.limit(2)
        predict(picture(32))
    finally:
        threads.limit(None)
    assert computing == [3, 1, 2]


def test_engines_of_few_numbers_of_threads_are_kept(runner, computing, monkeypatch):
    if runner.NAME == "torch":
        pytest.skip("computes with any number")
    numbers = [1, 2, 1, 2, 3, 2, 1]
    asked = iter(numbers)
    monkeypatch.setattr(threads, "for_network", lambda: next(asked))
    predict = runner.predictor(NETWORK, initialize(NETWORK), "cpu")
    for _ in numbers:
        predict(picture(32))
    assert computing == [1, 2, 3, 1]


def test_pytorch_gives_the_threads_back():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    predict = backends.get("torch").predictor(NETWORK, initialize(NETWORK), "cpu")
    with threads.batch_of(2):
        predict(picture(32))
    assert torch.get_num_threads() == before


def test_several_threads_at_once_get_what_one_gets(runner):
    predict = runner.predictor(NETWORK, initialize(NETWORK), "cpu")
    inputs = [picture(side) for side in SIDES] * 4
    with threads.batch_of(3):
        expected = list(map(predict, inputs))
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(predict, inputs))
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


def test_training_takes_the_threads_of_the_rule(monkeypatch):
    monkeypatch.setattr(threads, "total", lambda: 2)
    if "paddle" in backends.available():
        environment = importlib.import_module("backends.paddle.environment")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        importlib.reload(environment)
        assert environment.os.environ["OMP_NUM_THREADS"] == "2"
    if "torch" in backends.available():
        import torch

        before = torch.get_num_threads()
        try:
            backends.get("torch").Trainer(NETWORK, recipes.get("full"), initialize(NETWORK), "cpu")
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
