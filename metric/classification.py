"""Top-1 and top-5 accuracy of classifiers on photos in class folders, beside chance."""

import numpy as np
from tqdm import tqdm

from cic.dataset.batches import Order, PhotoDataset
from cic.dataset.loader import Loader
from cic.photos.sources import report_name
from cic.system.errors import InputError
from cic.system.randomness import noise_of
from cic.training.ranks import RANKS
from metric.acc import Accuracy, count_each
from metric.ledger import Ledger
from metric.summary import summarize

CHANCE = "chance"
BATCH = 16  # photos at once


class ByClass:
    """Accuracy over all photos and within each of the `classes`, by photo; mergeable."""

    def __init__(self, classes):
        self.total = Ledger(Accuracy())
        self.each = {name: Ledger(Accuracy()) for name in classes}

    def update(self, photos, logits, labels):
        """Add photos: names (N,), logits (N, classes) and labels (N,), integers from 0."""
        count_each(self.total, photos, logits, labels)
        photos = np.asarray(photos)
        for label, ledger in enumerate(self.each.values()):
            chosen = labels == label
            count_each(ledger, photos[chosen].tolist(), logits[chosen], labels[chosen])

    def merge(self, other):
        """Add what `other` has seen."""
        self.total.merge(other.total)
        for mine, theirs in zip(self.each.values(), other.each.values()):
            mine.merge(theirs)

    def compute(self):
        """{"top1": ..., "top5": ...}, percent."""
        return self.total.compute()

    def by_class(self):
        """({class: {"top1": ..., "top5": ...}}, their intervals), percent, if it has photos."""
        found = {name: summarize({name: each}) for name, each in self.each.items() if each.photos}
        figures = {name: one.figures[name] for name, one in found.items()}
        return figures, {name: one.intervals[name] for name, one in found.items()}


def dataset(folder, network, meta, classes=None, load_size=None):
    """PhotoDataset of a folder for a classifier with the `meta` of its checkpoint.

    The classes are those of the checkpoint or, of one that names none, `classes`, or all the
    folders there are. Photos are seen as in training: the middle, at the recipe's load_size; what
    a mask hides follows from the run's seed. Raises ValueError if the classes are not as many as
    the network's outputs, or `classes` are not those of the checkpoint.
    """
    own = meta.get("classes")
    if None not in (own, classes) and own != classes:
        raise InputError(
            "--classes: not the classes, in this order, that the weights were made for"
        )
    recipe = meta.get("recipe", {})
    load_size = load_size or max(recipe.get("load_size", 256), network.size)
    return PhotoDataset(
        [folder],
        network,
        load_size,
        network.size,
        seed=meta.get("seed", 0),
        augment=False,
        classes=own or classes,
    )


def measure(photos, predict, workers=0, most=None):
    """(ByClass, messages of photos that cannot be read) of a PhotoDataset, with a progress bar.

    `predict` runs the network on (N, C, S, S) float32; at the `most` so many photos, the first.
    """
    accuracy, failures = ByClass(photos.classes), []
    count = min(len(photos), most or len(photos))
    order = Order(count, BATCH, shuffle=False)
    # A batch has no names, and none of those that cannot be read; the noise tells its photos apart.
    found, places = photos.photos, photos.photos.searched
    names = {noise_of(photos.seed, 0, i): report_name(found[i], places) for i in range(count)}
    with Loader(photos, order, workers) as loader, tqdm(total=count, unit="photo") as bar:
        for batch in loader.batches(0, order.steps_per_epoch):
            failures += batch.failures
            if len(batch.inputs):
                seen = [names[noise] for noise in batch.noise.tolist()]
                accuracy.update(seen, predict(batch.inputs), *batch.targets)
            bar.update(len(batch.inputs) + len(batch.failures))
    return accuracy, failures


def chance(classes):
    """What guessing among so many classes comes to, {"top1": ..., "top5": ...}, percent."""
    return {f"top{k}": 100 * min(1.0, k / classes) for k in RANKS}


def facts(network, photos):
    """What the accuracy of a network depends on, a JSON object."""
    return {
        "network": str(network),
        "input": network.input_words(),
        "masked": network.masked,
        "resize": f"short side to {photos.load_size} pixels, bicubic (Pillow)",
        "crop": f"the middle {photos.crop_size} x {photos.crop_size} pixels",
        "classes": len(photos.classes),
    }
