"""Free-form masks: what they hide, and that the data set applies them."""

import numpy as np
import pytest

from cic import networks
from cic.dataset.batches import PhotoDataset
from cic.dataset.masks import free_form
from cic.system.randomness import random_for

NETWORK = networks.get("gated_resnet18", width=0.125, classes=2, size=64)


@pytest.mark.parametrize("side", [64, 256])
def test_masks_hide_something_and_never_all_of_it(side):
    masks = np.array([free_form(random_for(0, i), side) for i in range(200)])
    hidden = masks.mean((1, 2))
    assert masks.dtype == bool
    assert 0.1 < hidden.mean() < 0.3
    assert hidden.max() < 0.9
    assert len(np.unique(hidden)) > 150


def test_strokes_grow_with_the_photo():
    shares = [
        np.mean([free_form(random_for(1, i), side).mean() for i in range(100)])
        for side in (64, 448)
    ]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


def test_hidden_pixels_are_0_in_the_networks_input_and_follow_from_the_seed(photo_folder):
    for folder in ("n01", "n02"):
        assert (photo_folder / folder).is_dir()
    (photo_folder / "chelsea.webp").unlink()
    options = {"load_size": 64, "crop_size": 64, "augment": False}
    dataset = PhotoDataset([photo_folder], NETWORK, **options)
    inputs, (label,), _ = dataset.sample(2, epoch=3)
    again = PhotoDataset([photo_folder], NETWORK, **options).sample(2, epoch=3)[0]
    np.testing.assert_array_equal(inputs, again)
    hidden = (inputs == 0).all(0)
    shown = NETWORK.inputs(dataset.crop(2, 3))
    assert hidden.mean() > 0.02
    np.testing.assert_array_equal(inputs[:, ~hidden], shown[:, ~hidden])
    assert not np.array_equal(inputs, dataset.sample(2, epoch=4)[0])
    assert label == 1
