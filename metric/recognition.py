"""Measure the accuracy of a classifier on colorized photos: open, measure on a backend, write."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from cic.dataset.targets import read_classes
from cic.networks import Network
from cic.photos import kinds
from cic.system import provenance
from cic.system.arrays import State
from cic.system.errors import InputError
from cic.system.progress import Callback, tell
from cic.weights import download
from metric import bars, baselines, classifiers, record, summary
from metric.classifiers import Job
from metric.ledger import Ledger, name_from, pack
from metric.protocol import CLASSIFIER_TERMS
from metric.runner import Runner


@dataclass(frozen=True)
class Recognition:
    """Photos to recognise: those of `results_dir`, in class folders.

    `imgs_dir` are the true photos, of the same folders and stems, which add the baselines.
    `classes` is a file of the class folders' names in the order of the outputs; `seed` is that of
    the random baseline. `batch_size` photos are seen at once, read by `num_workers` processes.
    """

    results_dir: str
    imgs_dir: str | None = None
    classes: str | None = None
    batch_size: int = 10
    seed: int = 0
    num_workers: int = 0

    def open(self, weights: str | None = None) -> "OpenedRecognition":
        """Open it with the file of a classifier's weights, by default VGG-16, which is downloaded.

        Raises ValueError, naming the file or folder, unless they fit.
        """
        names = self.classes and read_classes(self.classes)
        left_out = kinds.LeftOut()
        found = classifiers.class_photos(self.results_dir, left_out)
        for line in left_out.lines():
            tell(line)
        weights = weights or download.fetch(download.VGG16)
        network, state, outputs = classifiers.load(weights)
        labelled = classifiers.labelled(self.results_dir, found, outputs, names)
        photos, others = classifiers.split(labelled)
        if not photos:
            raise InputError(
                f"{self.results_dir}: no photo in a folder of ImageNet's 1,000 classes"
            )
        jobs = classifiers.jobs_of(self.results_dir, photos, self.imgs_dir, self.seed)
        return OpenedRecognition(self, weights, network, state, jobs, others)


class OpenedRecognition(NamedTuple):
    """A Recognition with a classifier: its jobs, and the photos that are of no class."""

    recognition: Recognition
    weights: str
    network: Network
    state: State
    jobs: list[Job]
    others: list[str]

    def measure(
        self, backend: Runner, device: str = "auto", progress: Callback | None = None
    ) -> "Recognised":
        """Recognised, by the classifier on a backend.

        Steps are told to `progress`, see `cic.system.progress`; by default a bar is shown.
        """
        how = self.recognition
        predict = backend.predictor(self.network, self.state, device)
        rows, transparent, failures = classifiers.measure(
            self.network, predict, self.jobs, how.batch_size, how.num_workers, progress
        )
        protocol = classifiers.facts(self.network, self.weights, backend.NAME) | {
            **provenance.facts(backend.NAME),
            "count": len(self.jobs),
            "random_ab_seed": how.seed,
            "with_transparency": len(transparent),
            "of_no_class": len(self.others),
        }
        name_from(rows, how.results_dir)
        return Recognised(rows, protocol, failures, self.others)


class Recognised(NamedTuple):
    """{row: Ledger of Accuracy}, the protocol, and messages of photos that could not be read.

    If there are such messages, do not rely on the figures. `others` are photos of no class.
    """

    rows: dict[str, Ledger]
    protocol: dict[str, Any]
    failures: list[str]
    others: list[str]

    def rendered(self) -> tuple[dict[str, str | bytes], str]:
        """Return ({ending: content} of three files, the text that is shown)."""
        found = summary.summarize(self.rows)
        network, alpha = self.protocol["network"], self.protocol["with_transparency"]
        text = f"accuracy of {network} on {found.photos} photos in percent, higher is better\n"
        text += classifiers.titled(found, self.protocol["classifier"]).text()
        if baselines.TRUTH not in self.rows:
            text += "note: imgs_dir, the true photos, adds what these are to be read against\n"
        if alpha:
            text += f"note: {alpha} of {found.photos} have transparency, which is ignored\n"
        if self.others:
            text += classifiers.outside(self.others, len(self.others) + found.photos) + "\n"
        facts = {"photos": found.photos, "accuracy": found.figures, **found.facts()}
        conditions = {name: self.protocol[name] for name in CLASSIFIER_TERMS}
        return {
            ".json": record.dumps(facts | {"protocol": self.protocol}),
            ".png": bars.png(found.figures, found.intervals),
            ".npz": pack(self.rows, conditions),
        }, text
