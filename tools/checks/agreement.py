"""Lines: the device computes what the CPU does, and what the other framework does."""

import numpy as np

import backends
from cic import networks
from cic.networks.initialize import initialize
from cic.system.errors import SettingError
from cic.training.trainer import PRECISIONS
from tools.checks.setting import Line, apart, at_most, losses

LOGITS = {"float64": 1e-10, "float32": 1e-4}
STEPS = 20
NEAR_STEPS = 1e-8  # relative, of each step's loss in float64
NEAR_PRECISION = 0.02  # relative, of the mean loss of the last steps
SMALL = {"cic": {"width": 0.125}, "regression": {"width": 0.125}}
OPTIONS = {"fpn": {"version": 2}, "efficientnet_lite": {"version": 0}}


def logits(setting):
    """Every network on the device and on the CPU, from the same first weights."""
    chosen = SMALL if setting.is_small else {n: OPTIONS.get(n, {}) for n in networks.names()}
    for name, options in chosen.items():
        network = networks.get(name, **options)
        state, side = initialize(network), network.size or 64
        array = np.random.default_rng(0).normal(size=(1, network.channels, side, side))
        for dtype, limit in LOGITS.items():
            here, there = (
                setting.backend.forward(
                    setting.backend.build(network, state, device, dtype), array.astype(dtype)
                )
                for device in (setting.device, "cpu")
            )
            yield at_most(f"{name}: output, {dtype}, against the CPU", apart(here, there), limit)


def steps(setting):
    """Training steps in float64 against the CPU and, where it is installed, the other framework."""
    count, size = (4, 2) if setting.is_small else (STEPS, 8)
    recipe = setting.recipe(size)
    found = losses(setting.trainer(recipe), setting, size, count)
    expected = losses(setting.trainer(recipe, device="cpu"), setting, size, count)
    yield at_most(f"{count} steps, float64, against the CPU", apart(found, expected), NEAR_STEPS)
    for name in backends.available(trains=True):
        if name != setting.backend.NAME:
            trainer = setting.trainer(recipe, device="cpu", backend=backends.get(name))
            other = losses(trainer, setting, size, count)
            what = f"{count} steps, float64, against {name} on the CPU"
            yield at_most(what, apart(found, other), NEAR_STEPS)


def targets(setting):
    """Inputs and targets that the device makes of crops, against those that NumPy makes."""
    photos, network = setting.photos, setting.network
    crops = np.stack([photos.crop(i) for i in range(len(photos))])
    found = setting.native.targets(photos.target, network, setting.device, crops)
    index, weight, inputs = found
    bins, weights = (np.sort(array, 1) for array in photos.target.of_crops(crops))
    differ = (np.sort(index, 1) != bins).mean()
    yield at_most("targets: share of bins that are not NumPy's", float(differ), 0)
    yield at_most("targets: weights, against NumPy's", apart(np.sort(weight, 1), weights), 1e-4)
    yield at_most("inputs, against NumPy's", apart(inputs, network.inputs(crops)), 1e-6)


def precisions(setting):
    """The loss after training in each precision, against float32's."""
    count, size = (6, 2) if setting.is_small else (200, 40)
    recipe, last = setting.recipe(size), max(1, count // 10)
    expected = None
    for precision in PRECISIONS:
        if precision == "float64":
            continue
        try:
            trainer = setting.trainer(recipe, precision)
        except SettingError as error:
            yield Line(f"{count} steps, {precision}", "not run", str(error))
            continue
        mean = losses(trainer, setting, size, count)[-last:].mean()
        expected = mean if expected is None else expected
        what = f"{count} steps, {precision}: loss against float32's {expected:.3f}"
        yield at_most(what, abs(mean - expected) / expected, NEAR_PRECISION)


def layers(setting):
    """In 16 bits every layer's output has 16, so that none undoes what others save."""
    size = 2 if setting.is_small else 8
    for precision in ("bf16", "fp16"):
        try:
            trainer = setting.trainer(setting.recipe(size), precision)
        except SettingError as error:
            yield Line(f"layers in {precision}", "not run", str(error))
            continue
        seen = setting.native.output_types(trainer, setting.batch(size))
        wide = sorted({kind for kind, bits in seen if bits > 16})
        found = f"{len(seen)} outputs" + (f", 32 bits: {', '.join(wide)}" if wide else "")
        yield Line(f"layers in {precision}", found, "16 bits", not wide, len(wide))
