"""Accuracy of a classifier on colorized photos, top-1 and top-5, beside baselines.

python -m metric.acc --results_dir result --save_path figures --imgs_dir photos/val
python -m metric.acc --results_dir result --save_path figures --weights lite0.safetensors
python -m metric.acc --results_dir result --save_path top --weights vgg16.pth --classes names.txt

The classifier is VGG-16 (paper, section 3.1) unless --weights is another, which the table names.
The results are in class folders: one for each output of the network in sorted order, those that
--classes names, or some of ImageNet's 1,000, called by their WordNet ids. As in
Callifrey/Paddle-CIC (metrics_acc.py), the short side of a photo is resized to 224 pixels,
bilinearly, and the middle square taken. Gray photos and those with alpha, which is dropped, count
as any other. --imgs_dir adds the true photos and, beside them, these all gray and with the colours
of random others. Writes acc.json, acc.png, and acc.npz: which photos were right, for
metric.compare.
"""

import importlib
import os
import sys
from itertools import islice

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic.dataset.targets import read_classes
from cic.networks import imagenet
from cic.photos import images, sources
from cic.system import console, files, provenance
from cic.system.errors import InputError
from cic.system.parallel import Pool
from cic.training.ranks import RANKS, hits
from cic.weights import download, formats
from metric import bars, baselines, pairs, record, summary
from metric.figures.sums import Sums, ratio
from metric.ledger import Ledger, name_from, pack
from metric.pairs import WHOLE
from metric.protocol import CLASSIFIER_TERMS
from metric.report import RESULT

CHUNK = 4  # photos that travel together between processes
TITLES = {  # of networks, with their options
    "vgg16": "VGG-16",
    "efficientnet_lite": "EfficientNet-Lite{version}",
    "resnet": "ResNet-{depth}",
}


class Accuracy(Sums):
    """Share of photos whose class is among the 1 and the 5 largest logits; mergeable."""

    COLUMNS = (*(f"top{k}_hits" for k in RANKS), "classified")

    @property
    def count(self):
        """Number of photos."""
        return int(self.sums["classified"])

    def update(self, logits, labels):
        """Add photos: logits (N, classes) and labels (N,), integers from 0.

        Of equal logits the first is the larger. Raises ValueError for one that is no number, or a
        label that is no class.
        """
        logits, labels = np.asarray(logits), np.asarray(labels)
        if np.isnan(logits).any():
            raise InputError("a logit is not a number: check the weights")
        if labels.size and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
            raise ValueError(f"labels to {labels.max()}, but {logits.shape[1]} classes")
        self.add(*hits(logits, labels), len(labels))

    def compute(self):
        """{"top1": ..., "top5": ...}, percent; raises ValueError if no photo was seen."""
        if not self.count:
            raise InputError("no photo, no accuracy")
        return super().compute()

    @staticmethod
    def of(sums):
        """The same, numbers or arrays, of {column: number or array}."""
        return {f"top{k}": ratio(100 * sums[f"top{k}_hits"], sums["classified"]) for k in RANKS}


def count_each(ledger, photos, logits, labels):
    """Add photos by their names to a Ledger of Accuracy: logits (N, classes), labels (N,)."""
    for number, photo in enumerate(photos):
        one, part = Accuracy(), slice(number, number + 1)
        one.update(logits[part], labels[part])
        ledger.add(photo, one)


def square(image, size):
    """Middle of a Pillow image of mode RGB, its short side resized to `size`: (size, size, 3)."""
    short = min(image.size)
    width, height = (size * n // short for n in image.size)
    left, top = (round((n - size) / 2) for n in (width, height))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def squares(size, job):
    """({row: (size, size, 3) uint8} of what the network is to see, whether the result has alpha).

    `job` is (result, true photo or None, donor or None, label); of the true photo, and another that
    lends it colours, follow the baselines. Of a file that cannot be read only a message.
    """
    result, photo, donor, _ = job
    try:
        if photo:
            truth, picture, transparent = WHOLE.read_pair(pairs.Pair(photo, result))
            other = donor and WHOLE.read(donor)[0]
            pictures = {RESULT: picture} | baselines.pictures(truth, other)
        else:
            picture, _, transparent = WHOLE.read(result)
            pictures = {RESULT: picture}
    except images.PhotoError as error:
        return str(error)
    seen = {name: square(Image.fromarray(each), size) for name, each in pictures.items()}
    return seen, transparent


def class_photos(folder):
    """[(photo's path relative to `folder`, its class folder)], in a fixed order.

    Raises ValueError if there is none, or one that lies in no class folder.
    """
    photos = [(name, name.partition(os.sep)[0]) for name in sources.walk(folder)]
    if not photos:
        raise InputError(f"{folder}: no photo in there")
    for name, entry in photos:
        if name == entry:
            raise InputError(f"{os.path.join(folder, name)}: in no class folder")
    return photos


def labelled(folder, photos, outputs, classes=None):
    """[(photo, label)] of `class_photos` of a folder, for a network of so many `outputs`.

    `classes` are the class folders' names in the order of the outputs: by default all that there
    are, sorted. If these are not as many, but the outputs are 1,000 and some are classes of
    ImageNet, its classes are meant, and the label of a photo in any other folder is None. Raises
    ValueError if they are not as many, or naming the first folder of no class.
    """
    strict = True
    if classes is None:
        classes = sorted(entry.name for entry in os.scandir(folder) if _is_class(entry))
        known = imagenet.class_ids()
        if len(classes) != outputs == len(known) and not set(known).isdisjoint(classes):
            classes, strict = known, False
        if len(classes) != outputs:
            raise InputError(
                f"{folder}: {len(classes)} class folders, but the network has {outputs} outputs: "
                "--classes FILE says which they are"
            )
    if len(classes) != outputs:
        raise InputError(f"{len(classes)} classes are named, but the network has {outputs} outputs")
    label = {name: number for number, name in enumerate(classes)}
    for _, entry in photos:
        if strict and entry not in label:
            raise InputError(f"{os.path.join(folder, entry)}: no class is called {entry}")
    return [(name, label.get(entry)) for name, entry in photos]


def split(labelled):
    """([(photo, label)] with a label, the others' photos) of `labelled`."""
    return (
        [(name, label) for name, label in labelled if label is not None],
        [name for name, label in labelled if label is None],
    )


def outside(photos, count):
    """A note on `photos` that have no label, of `count`."""
    folders = sorted({name.partition(os.sep)[0] for name in photos})
    some = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return (
        f"note: {len(photos)} of {count} photos are in folders that are no class of ImageNet's "
        f"1,000, and in no accuracy: {some}"
    )


def _is_class(entry):
    return entry.is_dir() and not entry.name.startswith(".")


def jobs_of(folder, photos, imgs_dir=None, seed=0):
    """Jobs for `squares` of `labelled` photos of a folder; `seed` is the random baseline's.

    Raises ValueError unless the true photos have the same names, extensions aside: see pairs.find.
    """
    found = pairs.find(imgs_dir, folder) if imgs_dir else ()
    truth = {pair.result: pair.photo for pair in found}
    results = [os.path.join(folder, name) for name, _ in photos]
    others = (
        i if i is None else truth.get(results[i]) for i in baselines.donors(len(photos), seed)
    )
    return [
        (result, truth.get(result), other, label)
        for result, other, (_, label) in zip(results, others, photos)
    ]


def measure(network, predict, jobs, batch_size=10, workers=0):
    """({row: Ledger of Accuracy}, results with alpha, messages of photos that cannot be read).

    Rows are "colorized" and, with true photos, the baselines. After the first message the photos
    are only read. `predict` runs the network on (N, 3, S, S) float32.
    """
    rows, transparent, failures = {}, [], {}
    with Pool(workers, squares, network.size) as pool:
        read = zip(jobs, tqdm(pool.map(jobs, CHUNK), total=len(jobs), unit="photo"))
        while batch := list(islice(read, batch_size)):
            failures |= dict.fromkeys(seen for _, seen in batch if isinstance(seen, str))
            if failures:
                continue
            transparent += [job[0] for job, (_, has_alpha) in batch if has_alpha]
            names, labels = [job[0] for job, _ in batch], np.array([job[-1] for job, _ in batch])
            for name in batch[0][1][0]:
                pixels = np.stack([seen[name] for _, (seen, _) in batch])
                logits = predict(inputs(network, pixels))
                count_each(rows.setdefault(name, Ledger(Accuracy())), names, logits, labels)
    return rows, transparent, list(failures)


def load(weights):
    """(network, state, number of classes) of a classifier's weights, a path.

    Raises ValueError, naming the file, for another network.
    """
    network, state = formats.load(weights)
    if not network.is_classifier:
        raise InputError(f"{weights}: {network} is no classifier")
    (outputs,) = network.output((network.channels, network.size, network.size))
    return network, state, outputs


def title(network):
    """A network's name for people, "VGG-16"."""
    return TITLES.get(network.name, network.name).format(**network.options)


def inputs(network, views):
    """What `network` takes, (N, C, S, S) float32, of pictures (N, S, S, 3) uint8."""
    return network.inputs(views)


def facts(network, weights, backend):
    """What the accuracy of a network with weights, a path, depends on, a JSON object."""
    return {
        "classifier": title(network),
        "network": str(network),
        "weights_sha256": download.sha256(weights),
        "input": network.input_words(),
        "resize": f"short side to {network.size} pixels, bilinear (Pillow)",
        "crop": f"the middle {network.size} x {network.size} pixels",
        "backend": backend,
    }


def parse_arguments(backends):
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--results_dir", required=True, help="the colorized photos, in class folders")
    add("--save_path", required=True, help="folder for acc.json")
    add("--imgs_dir", help="the true photos, same folders and stems: adds the baselines")
    add("--weights", help="of a classifier, in any known format (torchvision's VGG-16, downloaded)")
    add("--classes", help="file of the class folders' names, one a line, in the outputs' order")
    add("--batch_size", type=console.positive, default=10, help="photos at once (%(default)s)")
    add("--seed", type=console.seed, default=0, help="of the random baseline (%(default)s)")
    backends.add_flags(parser)
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def main():
    backends = importlib.import_module("backends")  # only the command needs a framework
    args = parse_arguments(backends)
    target = os.path.join(args.save_path, "acc.json")
    files.check(target)
    names = args.classes and read_classes(args.classes)
    photos = class_photos(args.results_dir)
    weights = args.weights or download.fetch(download.VGG16)
    network, state, outputs = load(weights)
    photos, others = split(labelled(args.results_dir, photos, outputs, names))
    if not photos:
        raise InputError(f"{args.results_dir}: no photo in a folder of ImageNet's 1,000 classes")
    jobs = jobs_of(args.results_dir, photos, args.imgs_dir, args.seed)
    backend = backends.get(args.backend)
    predict = backend.predictor(network, state, args.device)
    found = measure(network, predict, jobs, args.batch_size, args.num_workers)
    rows, transparent, failures = found
    for message in failures:
        print(f"error: {message}", file=sys.stderr)
    if failures:
        return 1
    protocol = facts(network, weights, backend.NAME) | {
        **provenance.facts(backend.NAME),
        "count": len(jobs),
        "random_ab_seed": args.seed,
        "with_transparency": len(transparent),
        "of_no_class": len(others),
    }
    name_from(rows, args.results_dir)
    report(rows, protocol, target)
    if others:
        print(outside(others, len(others) + len(jobs)))
    return 0


def named(figures, classifier):
    """{"top1 (VGG-16)": ...} of {"top1": ...}: figures, or sums, of one classifier of several."""
    return {f"{name} ({classifier})": value for name, value in figures.items()}


def by_classifier(sums):
    """{classifier: {column: ...}} of the sums that `named` called so, among others."""
    found = {}
    for name, value in sums.items():
        column, bracket, classifier = name.partition(" (")
        if bracket and column in Accuracy.COLUMNS:
            found.setdefault(classifier.removesuffix(")"), {})[column] = value
    return found


def titled(found, classifier):
    """The same summary.Summary, its figures called as those of one classifier of several."""
    parts = {
        part: {row: named(each, classifier) for row, each in getattr(found, part).items()}
        for part in ("figures", "intervals", "less_gray")
    }
    return found._replace(**parts)


def report(rows, protocol, target):
    """Print the figures of {row: Ledger of Accuracy} and write them.

    `target` is the JSON file, which has the protocol, too; beside it go a picture and the sums.
    """
    found = summary.summarize(rows)
    photos, alpha = found.photos, protocol["with_transparency"]
    print(f"accuracy of {protocol['network']} on {photos} photos in percent, higher is better")
    print(titled(found, protocol["classifier"]).text(), end="")
    if baselines.TRUTH not in rows:
        print("note: --imgs_dir, the true photos, adds what these are to be read against")
    if alpha:
        print(f"note: {alpha} of {photos} have transparency, which is ignored")
    written = {"photos": photos, "accuracy": found.figures, **found.facts()}
    stem = os.path.splitext(target)[0]
    conditions = {name: protocol[name] for name in CLASSIFIER_TERMS}
    record.write(
        {
            target: record.dumps(written | {"protocol": protocol}),
            f"{stem}.png": bars.png(found.figures, found.intervals),
            f"{stem}.npz": pack(rows, conditions),
        }
    )


if __name__ == "__main__":
    console.run(main)
