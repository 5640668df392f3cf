"""The network that gives ab: its layout and scaling, its training, and the photos it colours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import backends
from cic import networks
from cic.colorize.colorizer import Colorizer
from cic.colorize.settings import DEFAULTS
from cic.colour.lab import rgb_to_lab
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.networks.colorizers import BLOCKS
from cic.networks.forward import forward
from cic.networks.initialize import initialize, scale_to_data
from cic.training import losses, recipes

SMALL = networks.get("regression", width=0.125)
STEPS = 6


def independent(width):
    """DLimage_colorization's network, written afresh: convolution, ReLU, batch norm, bicubic x4."""
    layers, inputs = [], 1
    for count, channels, stride, dilation in BLOCKS:
        outputs = max(8, round(channels * width / 8) * 8)
        for i in range(count):
            step = stride if i == count - 1 else 1
            conv = nn.Conv2d(inputs, outputs, 3, step, dilation, dilation)
            layers += [conv, nn.ReLU()]
            inputs = outputs
        layers.append(nn.BatchNorm2d(outputs))
    last = max(8, round(256 * width / 8) * 8)
    layers += [nn.ConvTranspose2d(inputs, last, 4, 2, 1), nn.ReLU()]
    layers += [nn.Conv2d(last, last, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(last, last, 3, padding=1), nn.ReLU(), nn.Conv2d(last, 2, 1)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=4, mode="bicubic")).eval()


def test_it_equals_the_independent_net_on_both_backends(photos):
    net, state = independent(0.125), initialize(SMALL, seed=3)
    arrays = iter(state.values())
    for array in net.parameters():
        array.data = torch.from_numpy(next(arrays))
    random = np.random.default_rng(0)
    for name in SMALL.statistics:
        state[name] = random.uniform(0.5, 2, state[name].shape).astype(np.float32)
    running = iter(SMALL.statistics)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.from_numpy(state[next(running)])
            module.running_var = torch.from_numpy(state[next(running)])
    inputs = SMALL.inputs(photos["coffee"][None, 100:164, 200:280])
    with torch.inference_mode():
        expected = net(torch.from_numpy(inputs)).numpy()
    found = [forward(SMALL, state, inputs)]
    for name in backends.available(trains=True):
        backend = backends.get(name)
        found.append(backend.forward(backend.build(SMALL, state), inputs))
        found.append(backend.predictor(SMALL, state)(inputs))
    for output in found:
        assert np.abs(output - expected).max() <= 1e-4 * np.abs(expected).max()
    assert SMALL.parameter_count == sum(array.numel() for array in net.parameters())


def test_its_input_is_l_by_100_and_its_output_ab_plus_128_by_256(photo):
    lab = rgb_to_lab(photo)
    np.testing.assert_allclose(SMALL.inputs(photo)[0], lab[..., 0] / 100, atol=1e-6)
    scaled = SMALL.scale_ab(lab[..., 1:])
    np.testing.assert_allclose(scaled, (lab[..., 1:] + 128) / 256, atol=1e-6)
    np.testing.assert_allclose(SMALL.unscale_ab(scaled), lab[..., 1:], atol=1e-4)
    assert SMALL.output((1, 64, 80)) == (2, 64, 80)
    assert SMALL.stride == 1


def test_it_begins_at_gray(photo_folder):
    dataset = PhotoDataset([photo_folder], SMALL, 64, 56)
    inputs = make_batch(dataset, Order(6, 6), 0).inputs
    state = scale_to_data(SMALL, initialize(SMALL), inputs)
    ab = SMALL.unscale_ab(forward(SMALL, state, inputs, training=True))
    assert np.abs(ab).max() < 1
    assert state["conv_ab.bias"].shape == (2,)
    assert (initialize(SMALL)["conv_ab.bias"] == 0.5).all()


def test_a_target_is_the_scaled_ab_of_every_pixel(photo_folder):
    dataset = PhotoDataset([photo_folder], SMALL, 64, 56, augment=False)
    inputs, (target,), _ = dataset.sample(1)
    ab = rgb_to_lab(dataset.crop(1))[..., 1:].transpose(2, 0, 1)
    assert (inputs.shape, target.shape, target.dtype) == ((1, 56, 56), (2, 56, 56), np.float32)
    np.testing.assert_allclose(target, (ab + 128) / 256, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [name for name, need in losses.NEEDS.items() if need == networks.AB]
)
@pytest.mark.both
def test_training_steps_agree_between_backends(loss, photo_folder):
    """Paddle computes the weights of its bicubic enlargement in float32."""
    dataset = PhotoDataset([photo_folder], SMALL, 64, 56)
    batches = [make_batch(dataset, Order(6, 2), step) for step in range(STEPS)]
    recipe = replace(recipes.get("dlimage"), loss=loss, batch_size=2, accumulate=2)
    found = []
    for name in backends.available(trains=True):
        trainer = backends.get(name).Trainer(SMALL, recipe, initialize(SMALL), "cpu", "float64")
        found.append([trainer.step(batch, 1e-5)[0] for batch in batches])
        assert trainer.evaluate(batches[0])[1] > 0
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_colorizer_takes_its_output_for_ab(photos):
    """A network that knows the photo's ab gives the photo back."""
    photo = np.ascontiguousarray(photos["chelsea"][:296, :448])
    ab = SMALL.scale_ab(rgb_to_lab(photo)[..., 1:]).transpose(2, 0, 1)
    colorizer = Colorizer(SMALL, lambda inputs: ab[None], DEFAULTS.but(size=296))
    assert not colorizer.has_distribution
    assert np.abs(colorizer(photo).astype(int) - photo).mean() < 0.5
    ((kind, picture),) = colorizer.pictures(Image.fromarray(photo))
    assert kind == 1
    np.testing.assert_array_equal(picture, colorizer(photo))
    with pytest.raises(ValueError, match=r"regression\(.*gives one colour a pixel"):
        list(colorizer.pictures(photo, 2))


@pytest.mark.parametrize(("recipe", "loss"), [("dlimage", "l2"), ("dlimage-focal", "focal_l2")])
def test_the_recipes_are_dlimages(recipe, loss):
    found = recipes.get(recipe)
    assert (found.network, found.loss, found.batch_size, found.num_epochs) == (
        *("regression", loss),
        *(224, 100),
    )
    assert recipes.learning_rate(found, 10**6, 10**7, 100) == 1e-4
