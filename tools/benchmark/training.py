"""Training: the loss, a step, and waiting for photos."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np

import backends
from cic import networks
from cic.colour import bins
from cic.dataset import batches
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize
from cic.photos import images
from cic.training import recipes
from tools.benchmark.measuring import (
    alternate,
    compared,
    fresh,
    megabytes,
    seconds,
    timed,
    within,
)
from tools.benchmark.photographs import BATCH, TARGET, photo_dataset, photograph

NEAR = 1e-5  # relative difference of one loss computed in two ways
TRAIN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "train.py")


def mean(total, count):
    """The loss that (total, count) stand for."""
    return total / count


def the_batch(photos, size):
    """Batch of so many crops of the one photo of a data set."""
    order = batches.Order(1, 1)
    made = [batches.make_batch(photos, order, step) for step in range(size)]
    inputs, targets, noise, _ = zip(*made)
    targets = tuple(map(np.concatenate, zip(*targets)))
    return batches.Batch(np.concatenate(inputs), targets, np.concatenate(noise))


def torch_losses(logits, index, weight, dense):
    """(dense, sparse): functions without arguments that run forward and backward."""
    import torch
    from torch.nn import functional as F

    logits, index, weight, dense = map(torch.from_numpy, (logits, index, weight, dense))
    logits.requires_grad_()

    def run(loss, *target):
        logits.grad = None
        value = loss(logits, *target)
        value.backward()
        return value.item()

    def ours(*arguments):
        return mean(*backends.get("torch").loss("cross_entropy")(*arguments))

    return lambda: run(F.cross_entropy, dense), lambda: run(ours, index, weight)


def paddle_losses(logits, index, weight, dense):
    """(dense, sparse): functions without arguments that run forward and backward."""
    backend = backends.get("paddle")
    import paddle
    from paddle.nn import functional as F

    logits, index, weight, dense = map(paddle.to_tensor, (logits, index, weight, dense))
    logits.stop_gradient = False

    def ours(*arguments):
        return mean(*backend.loss("cross_entropy")(*arguments))

    theirs = partial(F.cross_entropy, soft_label=True, axis=1)

    def run(loss, *target):
        logits.clear_gradient(set_to_zero=False)
        value = loss(logits, *target)
        value.backward()
        return value.item()

    return lambda: run(theirs, dense), lambda: run(ours, index, weight)


LOSSES = {"torch": torch_losses, "paddle": paddle_losses}


def compare_losses(backend, index, weight, repeats):
    """(values, median seconds) of the dense and the sparse loss of a framework."""
    dense = np.zeros((len(index), bins.COUNT, *index.shape[2:]), np.float32)
    np.put_along_axis(dense, index.astype(np.int64), weight, axis=1)
    logits = np.random.default_rng(0).standard_normal(dense.shape, np.float32)
    theirs, ours = LOSSES[backend](logits, index, weight, dense)
    return (theirs(), ours()), alternate(theirs, ours, repeats)


def loss(repeats, folder):
    """The target and the loss of a batch, sparse and dense."""
    photos = photo_dataset(folder)
    index, weight = the_batch(photos, BATCH).targets
    dense = weight.itemsize * BATCH * bins.COUNT * TARGET**2
    sparse = index.nbytes + weight.nbytes
    rows = [compared(f"target of {BATCH} crops, dense", dense, sparse, megabytes, 20)]
    for backend in backends.available(trains=True):
        values, times = fresh(compare_losses, backend, index, weight, repeats)
        apart = abs(values[0] - values[1]) / values[0]
        shown = (f"{value:.7f}" for value in values)
        rows.append(within(f"loss, {backend}, dense: relative difference", *shown, apart, NEAR))
        rows.append(compared(f"loss, {backend}, dense: forward, backward", *times, seconds))
    return rows


def eager_step(batch):
    """Function that makes a training step as PyTorch does out of the box: float32, NCHW."""
    torch_backend = backends.get("torch")
    import torch

    net = torch_backend.build(networks.get("cic")).to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(net.train().parameters(), weight_decay=1e-3)
    inputs, index, weight = map(torch.from_numpy, (batch.inputs, *batch.targets))

    def step():
        optimizer.zero_grad()
        loss = mean(*torch_backend.loss("cross_entropy")(net(inputs), index, weight))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def our_step(backend, precision, batch):
    """Function that makes a training step of a Trainer."""
    network = networks.get("cic")
    state = initialize(network)
    trainer = backends.get(backend).Trainer(network, recipes.get("full"), state, "cpu", precision)
    return lambda: trainer.step(batch, 1e-5)[0]


def measure_step(batch, make, *arguments):
    """Median seconds of a training step on `batch`."""
    step = make(*arguments, batch)
    step()
    return np.median([timed(step, 1) for _ in range(3)])


def step(repeats, folder):
    """A training step of the paper's network, 4 crops of 176 pixels."""
    photos = photo_dataset(folder)
    batch = the_batch(photos, 4)
    ways = [(eager_step,), (our_step, "torch", "bf16"), (our_step, "torch", "float32")]
    ways += [(our_step, "paddle", "float32")]
    rounds = [[fresh(measure_step, batch, *way) for way in ways] for _ in range(repeats)]
    eager, bf16, torch_step, paddle_step = np.median(rounds, axis=0)
    what = "a training step, torch as it comes, float32"
    return [
        compared(f"{what}; ours in bf16", eager, bf16, seconds, 1.8),
        compared(f"{what}; ours in float32", eager, torch_step, seconds),
        compared(f"{what}; paddle in float32", eager, paddle_step, seconds, 0.59),
    ]


def waiting(repeats, folder):
    """The time that training waits for photos, the paper's network, batches of 8."""
    shots = [photograph((384, 256)).rotate(degrees) for degrees in range(32)]
    for number, shot in enumerate(shots):
        images.write(os.path.join(folder, "in", f"{number}.jpg"), np.asarray(shot))
    photos = batches.PhotoDataset([os.path.join(folder, "in")], networks.get("cic"))
    with Loader(photos, batches.Order(len(photos), 8), workers=1) as loader:
        list(loader.batches(0, 8))
        rate = 8 * 40 / timed(lambda: list(loader.batches(0, 40)), 1)
    command = [sys.executable, TRAIN, "--image_dir", os.path.join(folder, "in")]
    command += ["--model_path", os.path.join(folder, "model"), "--batch_size", "8"]
    command += ["--max_steps", "6", "--num_workers", "1", "--backend", "torch"]
    command += ["--precision", "bf16"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(output.splitlines()[-1])
    share, needed = figures["waiting"], figures["images_per_second"]
    what = "training in bf16, batches of 8: share of the time that it waits for photos"
    shown = f"uses {needed:.1f} a second", f"one worker reads {rate:.0f} a second"
    return [within(what, *shown, share, 0.02)]
