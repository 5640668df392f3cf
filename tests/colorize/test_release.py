"""Weights to hand out: of one checkpoint, or the mean of several."""

import numpy as np
import pytest

from cic import networks
from cic.colorize.release import release
from cic.networks.initialize import initialize
from cic.system.errors import InputError
from cic.weights import checkpoint, load_weights, save

SMALL = networks.get("cic", width=0.125)


@pytest.fixture
def saved(tmp_path):
    """Save weights of a seed, of a network; the path."""

    def save_them(seed, network=SMALL):
        path = tmp_path / f"{seed}.safetensors"
        save(path, initialize(network, seed), checkpoint.network_meta(network))
        return path

    return save_them


def test_of_several_checkpoints_the_mean_is_written(saved, tmp_path):
    release([saved(1), saved(2), saved(3)], tmp_path / "mean.safetensors", saturation=1.2)
    network, found, meta = load_weights(tmp_path / "mean.safetensors")
    assert network == SMALL
    assert meta["colorize"]["saturation"] == 1.2
    expected = [initialize(SMALL, seed) for seed in (1, 2, 3)]
    for name, array in found.items():
        mean = np.mean([state[name] for state in expected], 0)
        np.testing.assert_allclose(array, mean, atol=1e-3 * np.abs(mean).max())


def test_one_checkpoint_is_written_as_it_is(saved, tmp_path):
    release(saved(1), tmp_path / "one.safetensors")
    _, found, _ = load_weights(tmp_path / "one.safetensors")
    for name, array in initialize(SMALL, 1).items():
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype))


def test_checkpoints_of_different_networks_are_refused(saved, tmp_path):
    other = saved(2, networks.get("cic", width=0.25))
    with pytest.raises(InputError, match=r"2\.safetensors: of cic\(width=0\.25.*not of cic"):
        release([saved(1), other], tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()
