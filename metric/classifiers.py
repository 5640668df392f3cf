"""Run classifiers on pictures in class folders: their inputs, the labels, and their accuracy."""

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from cic.networks import Network, imagenet
from cic.photos import images, kinds, sources
from cic.system.addresses import is_address
from cic.system.arrays import Array, Bytes, Floats, State
from cic.system.errors import InputError
from cic.system.parallel import Pool
from cic.system.progress import Callback, told
from cic.system.typing import Json
from cic.weights import download, formats
from metric import baselines, pairs
from metric.figures.accuracy import Accuracy, qualified
from metric.ledger import Ledger
from metric.measuring import RESULT
from metric.pairs import WHOLE
from metric.summary import Summary

# A result, its true photo, another that lends it colours, and the label.
Job: TypeAlias = tuple[str, str | None, str | None, int | None]
CHUNK = 4  # photos that travel together between processes
TITLES = {  # of networks, with their options
    "vgg16": "VGG-16",
    "efficientnet_lite": "EfficientNet-Lite{version}",
    "resnet": "ResNet-{depth}",
}


def count_each(ledger: Ledger, photos: Iterable[str], logits: Array, labels: Array) -> None:
    """Add photos by their names to a Ledger of Accuracy: logits (N, classes), labels (N,)."""
    for number, photo in enumerate(photos):
        one, part = Accuracy(), slice(number, number + 1)
        one.update(logits[part], labels[part])
        ledger.add(photo, one)


def square(image: Image.Image, size: int) -> Bytes:
    """Return the middle of a Pillow image of mode RGB, its short side resized to `size`: (size,
    size, 3).
    """
    short = min(image.size)
    width, height = (size * n // short for n in image.size)
    left, top = (round((n - size) / 2) for n in (width, height))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def squares(size: int, job: Job) -> tuple[dict[str, Bytes], bool] | str:
    """Return ({row: (size, size, 3) uint8} of what the network is to see, whether the result has
    alpha).

    `job` is (result, true photo or None, donor or None, label); of the true photo, and another that
    lends it colours, follow the baselines. Of a file that cannot be read only a message.
    """
    result, photo, donor, _ = job
    try:
        if photo:
            truth, picture, transparent = WHOLE.read_pair(pairs.Pair(photo, result))
            other = WHOLE.read(donor)[0] if donor else None
            pictures = {RESULT: picture} | baselines.pictures(truth, other)
        else:
            picture, _, transparent = WHOLE.read(result)
            pictures = {RESULT: picture}
    except images.PhotoError as error:
        return str(error)
    seen = {name: square(Image.fromarray(each), size) for name, each in pictures.items()}
    return seen, transparent


def class_photos(folder: str, left_out: kinds.LeftOut | None = None) -> list[tuple[str, str]]:
    """Return [(photo's path relative to `folder`, its class folder)], in a fixed order.

    Raises ValueError if there is none, or one that lies in no class folder.
    """
    photos = [(name, name.partition(os.sep)[0]) for name in sources.walk(folder, left_out=left_out)]
    if not photos:
        raise InputError(f"{folder}: no photo in there")
    for name, entry in photos:
        if name == entry:
            raise InputError(f"{os.path.join(folder, name)}: in no class folder")
    return photos


def labelled(
    folder: str,
    photos: Sequence[tuple[str, str]],
    outputs: int,
    classes: Sequence[str] | None = None,
) -> list[tuple[str, int | None]]:
    """Return [(photo, label)] of `class_photos` of a folder, for a network with that number of
    `outputs`.

    `classes` are the class folders' names in the order of the outputs: by default all that there
    are, sorted. If these are not as many, but the outputs are 1,000 and some are classes of
    ImageNet, its classes are meant, and the label of a photo in any other folder is None. Raises
    ValueError if they are not as many, or naming the first folder of no class.
    """
    strict = True
    if classes is None:
        classes = _class_folders(folder, photos)
        known = imagenet.class_ids()
        if len(classes) != outputs == len(known) and not set(known).isdisjoint(classes):
            classes, strict = known, False
        if len(classes) != outputs:
            raise InputError(
                f"{folder}: {len(classes)} class folders, but the network has {outputs} outputs: "
                "name as classes which they are"
            )
    if len(classes) != outputs:
        raise InputError(f"{len(classes)} classes are named, but the network has {outputs} outputs")
    label = {name: number for number, name in enumerate(classes)}
    for _, entry in photos:
        if strict and entry not in label:
            raise InputError(f"{os.path.join(folder, entry)}: no class is called {entry}")
    return [(name, label.get(entry)) for name, entry in photos]


def split(labelled: Iterable[tuple[str, int | None]]) -> tuple[list[tuple[str, int]], list[str]]:
    """Return ([(photo, label)] with a label, the others' photos) of `labelled`."""
    return (
        [(name, label) for name, label in labelled if label is not None],
        [name for name, label in labelled if label is None],
    )


def outside(photos: Sequence[str], count: int) -> str:
    """Return a note on `photos` that have no label, of `count`."""
    folders = sorted({name.partition(os.sep)[0] for name in photos})
    some = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return (
        f"note: {len(photos)} of {count} photos are in folders that are no class of ImageNet's "
        f"1,000, and in no accuracy: {some}"
    )


def _class_folders(folder: str, photos: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names of the class folders, sorted; a store has those of its photos alone."""
    if is_address(folder):
        return sorted({entry for _, entry in photos})
    return sorted(entry.name for entry in os.scandir(folder) if _is_class(entry))


def _is_class(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def jobs_of(
    folder: str, photos: Sequence[tuple[str, int]], imgs_dir: str | None = None, seed: int = 0
) -> list[Job]:
    """Return the jobs for `squares` of `labelled` photos of a folder; `seed` is the random
    baseline's.

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


def measure(
    network: Network,
    predict: Callable[[Floats], Array],
    jobs: Sequence[Job],
    batch_size: int = 10,
    workers: int = 0,
    progress: Callback | None = None,
) -> tuple[dict[str, Ledger], list[str], list[str]]:
    """Return ({row: Ledger of Accuracy}, results with alpha, messages of photos that cannot be
    read).

    Rows are "colorized" and, with true photos, the baselines. After the first message the photos
    are only read. `predict` runs the network on (N, 3, S, S) float32. Steps are told to `progress`,
    by default a bar.
    """
    rows: dict[str, Ledger] = {}
    transparent: list[str] = []
    failures: dict[Any, None] = {}
    with (
        Pool(workers, squares, network.side) as pool,
        told(progress, total=len(jobs)) as bar,
    ):
        read = ((job, seen) for seen, job in zip(bar.each(pool.map(jobs, CHUNK)), jobs))
        while batch := list(islice(read, batch_size)):
            failures |= dict.fromkeys(seen for _, seen in batch if isinstance(seen, str))
            if failures:
                continue
            transparent += [job[0] for job, (_, has_alpha) in batch if has_alpha]  # type: ignore[str-unpack]
            names, labels = [job[0] for job, _ in batch], np.array([job[-1] for job, _ in batch])
            for name in batch[0][1][0]:
                pixels = np.stack([seen[name] for _, (seen, _) in batch])  # type: ignore[index, misc, str-unpack]
                logits = predict(inputs(network, pixels))
                count_each(rows.setdefault(name, Ledger(Accuracy())), names, logits, labels)
    return rows, transparent, list(failures)


def load(weights: str) -> tuple[Network, State, int]:
    """Return (network, state, number of classes) of a classifier's weights, a path.

    Raises ValueError, naming the file, for another network.
    """
    network, state = formats.load(weights)
    if not network.is_classifier:
        raise InputError(f"{weights}: {network} is no classifier")
    (outputs,) = network.output((network.channels, network.side, network.side))
    return network, state, outputs


def title(network: Network) -> str:
    """Return a network's name for people, "VGG-16"."""
    return TITLES.get(network.name, network.name).format(**network.options)


def inputs(network: Network, views: Bytes) -> Floats:
    """Return what `network` takes, (N, C, S, S) float32, of pictures (N, S, S, 3) uint8."""
    return network.inputs(views)


def facts(network: Network, weights: str, backend: str) -> dict[str, Json]:
    """Return what the accuracy of a network with weights, a path, depends on, a JSON object."""
    return {
        "classifier": title(network),
        "network": str(network),
        "weights_sha256": download.sha256(weights),
        "input": f"{network.space}, less {network.mean}, divided by {network.scale}",
        "resize": f"short side to {network.size} pixels, bilinear (Pillow)",
        "crop": f"the middle {network.size} x {network.size} pixels",
        "backend": backend,
    }


def titled(found: Summary, classifier: str) -> Summary:
    """Return the same summary.Summary, its figures called as those of one classifier of several."""
    parts = {
        part: {row: qualified(each, classifier) for row, each in getattr(found, part).items()}
        for part in ("figures", "intervals", "less_gray")
    }
    return found._replace(**parts)  # type: ignore[arg-type]
