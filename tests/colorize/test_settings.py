"""settings: what weights bring along, what may be changed, and one line for what may not."""

import json

import numpy as np
import pytest

import backends
from cic import networks
from cic.colorize.settings import BILINEAR, DEFAULTS, Settings, bin_weights, of_weights
from cic.colour import prior, rebalance
from cic.colour.decoding import Decoding
from cic.networks.initialize import initialize
from cic.system.provenance import array_fingerprint
from cic.weights import checkpoint, reading

RUN = {
    "recipe": {"rebalance": True, "gamma": 0.6, "weight_limit": 4.0, "target_mean": True},
    "prior_fingerprint": array_fingerprint(prior.default()),
}


def test_changes_are_taken_by_name_and_none_is_no_change():
    assert DEFAULTS.but(size=None, saturation=None) == DEFAULTS
    found = DEFAULTS.but(size=128, saturation=1.2, edges="bilinear")
    assert found == Settings((128,), Decoding(saturation=1.2), BILINEAR)
    assert DEFAULTS.but(sizes=[256, 128]).sizes == (128, 256)
    assert DEFAULTS.but(sizes=[256, 128]).size == 256


def test_facts_are_json_that_gives_the_settings_back():
    one = DEFAULTS.but(sizes=(128, 256), temperature=0.8, statistic="median", target_mean=True)
    assert DEFAULTS.but(**json.loads(json.dumps(one.facts()))) == one


@pytest.mark.both
def test_the_bundled_weights_bring_theirs():
    meta = reading.load_weights()[2]
    assert meta["colorize"].keys() >= {"sizes", "temperature", "saturation", "statistic", "edges"}
    found = backends.colorizer(backend="torch").settings
    assert found == of_weights(meta)
    assert json.loads(json.dumps(found.facts())).items() >= meta["colorize"].items()
    other = meta | {"colorize": meta["colorize"] | {"sizes": [72], "temperature": 0.123}}
    assert of_weights(other) == found.but(size=72, temperature=0.123)
    assert of_weights({}) == DEFAULTS


def test_weights_of_a_run_say_how_colours_weighed():
    limited = rebalance.limited(rebalance.weights(prior.default(), 0.6), prior.default(), 4.0)
    np.testing.assert_array_equal(np.float32(bin_weights(RUN)), limited)
    found = of_weights(RUN | {"colorize": {"unweight": 0.15, "statistic": "median"}})
    assert found.target_mean
    assert found.decoding.unweight == 0.15
    np.testing.assert_array_equal(np.float32(found.decoding.bin_weights), limited)
    told = list(np.linspace(1, 2, 313))
    assert bin_weights(RUN | {"bin_weights": told, "prior_fingerprint": "other"}) == told


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"recipe": RUN["recipe"]},
        RUN | {"prior_fingerprint": "another prior"},
        RUN | {"recipe": RUN["recipe"] | {"rebalance": False}},
        RUN | {"bin_weights": None},
    ],
)
def test_of_other_weights_it_is_not_known(meta):
    assert bin_weights(meta) is None
    with pytest.raises(ValueError, match="do not say how"):
        of_weights(meta).but(unweight=0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": []}, r"sizes are \[\]"),
        ({"sizes": [256, 256]}, "one comes twice"),
        ({"size": 0}, "whole numbers from 1 on"),
        ({"size": 2.5}, "whole numbers from 1 on"),
        ({"size": 128, "sizes": [128]}, "the same setting"),
        ({"edges": "sharp"}, "edges is 'sharp'; there are guided, bilinear"),
        ({"target_mean": 1}, "target_mean is 1"),
        ({"saturate": 2}, "no setting is called 'saturate'"),
        ({"temperature": -1}, "temperature is -1"),
    ],
)
def test_what_cannot_be_is_one_line(wrong, message):
    with pytest.raises(ValueError, match=message):
        DEFAULTS.but(**wrong)


@pytest.fixture
def weights(tmp_path):
    """Function: checkpoint with a meta of an untrained network, its path."""

    def save(name="cic", **meta):
        network = networks.get(name, width=0.125)
        path = tmp_path / f"{name}.safetensors"
        facts = checkpoint.network_meta(network) | meta
        checkpoint.save(path, initialize(network), facts)
        return path

    return save


@pytest.mark.both
def test_a_colorizer_has_its_weights_settings_or_the_callers(weights):
    path = weights(**RUN, colorize={"size": 64, "unweight": 0.3})
    one = backends.colorizer(path, "torch")
    assert one.settings.size == 64
    assert one.settings.decoding.unweight == 0.3
    other = backends.colorizer(path, "torch", unweight=0, statistic="median")
    assert other.settings.decoding.unweight == 0
    assert other.settings.decoding.statistic == "median"


def test_what_is_wrong_names_the_file(weights):
    path = weights(colorize={"sise": 64})
    with pytest.raises(checkpoint.CheckpointError, match=r"cic.safetensors: no setting .* 'sise'"):
        backends.colorizer(path, "torch")
    path = weights(colorize={"temperature": "high"})
    with pytest.raises(checkpoint.CheckpointError, match=r"cic.safetensors: .*temperature is high"):
        backends.colorizer(path, "torch")
    path = weights()
    with pytest.raises(checkpoint.CheckpointError, match=r"cic.safetensors: unweight is 0.5, but"):
        backends.colorizer(path, "torch", unweight=0.5)
    with pytest.raises(checkpoint.CheckpointError, match=r"fpn.safetensors: saturation"):
        backends.colorizer(saturation=-1)


@pytest.mark.parametrize("idle", ["temperature", "unweight", "statistic"])
@pytest.mark.both
def test_what_is_of_no_effect_on_a_network_of_regression_is_refused(weights, idle):
    path = weights("regression", bin_weights=[1.0] * 313)
    value = "median" if idle == "statistic" else 0.5
    with pytest.raises(ValueError, match=f"{idle}: of no effect on regression"):
        backends.colorizer(path, "torch", **{idle: value})
    assert backends.colorizer(path, "torch", saturation=2).settings.decoding.saturation == 2
