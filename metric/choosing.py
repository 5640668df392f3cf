"""Measure decodings of some weights on held-out photos, to choose from them: see `frontier`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cic.colorize.colorizer import Colorizer
from cic.colour import prior
from cic.colour.decoding import Decoding
from cic.photos import images, kinds, sources
from cic.system import provenance
from cic.system.errors import InputError
from cic.system.progress import Callback, tell, told
from cic.system.settings import check_whole
from cic.system.typing import Json
from cic.weights import download
from metric import frontier, record, table
from metric.measuring import read_prior


@dataclass(frozen=True)
class Sweep:
    """Photos of `image_dir`, `most` of them or all, and the settings of decoding to combine.

    `unweights` is None for those that the weights allow; `prior` is a .npy file that balances AuC,
    by default the bundled one.
    """

    image_dir: str
    temperatures: Sequence[float] = frontier.TEMPERATURES
    unweights: Sequence[float] | None = None
    saturations: Sequence[float] = frontier.SATURATIONS
    prior: str | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        check_whole(self, most=1)

    def decodings(self, own: Decoding) -> list[Decoding]:
        """Return [Decoding] of all combinations, for weights whose Decoding is `own`."""
        unweights = self.unweights
        if unweights is None:
            unweights = (0.0,) if own.bin_weights is None else frontier.UNWEIGHTS
        found = self.temperatures, unweights, self.saturations
        return frontier.decodings(own.bin_weights, *(dict.fromkeys(values) for values in found))  # type: ignore[arg-type]


def measure(
    sweep: Sweep, colorizer: Colorizer, progress: Callback | None = None
) -> dict[str, Json]:
    """Return what frontier.Frontier computes of a Sweep, and the "protocol": a JSON object.

    Photos that cannot be read are named there, as "skipped". Steps and lines are told to
    `progress`, see `cic.system.progress`; by default a bar is shown. Raises ValueError for a
    network that gives ab, and if no photo can be read.
    """
    if not colorizer.has_distribution:
        raise InputError(f"{colorizer.weights}: {colorizer.network} gives ab: there is no sweep")
    left_out = kinds.LeftOut()
    names = sources.find(sweep.image_dir, sweep.most, left_out=left_out)
    for line in left_out.lines():
        tell(line, progress)
    shares = read_prior(sweep.prior) if sweep.prior else prior.default()
    decodings = sweep.decodings(colorizer.settings.decoding)
    found = frontier.Frontier(decodings, shares, colorizer.refined)
    problems = []
    with told(progress, total=len(names), stream=sys.stderr) as bar:
        for name in bar.each(names):
            try:
                image = images.open_rgb(os.path.join(sweep.image_dir, name))
            except images.PhotoError as error:
                problems.append(str(error))
                bar.say(f"skipped: {error}")
                continue
            found.update(colorizer.output(image), colorizer.light(image), colorizer.true_ab(image))
    if not found.photos:
        raise InputError(f"{sweep.image_dir}: no photo in there that can be read")
    protocol = {
        "weights": os.path.basename(colorizer.weights),
        "sha256": download.sha256(colorizer.weights),
        "sizes": colorizer.settings.sizes,
        "evenness": colorizer.settings.evenness,
        "fade": colorizer.settings.fade,
        "tint": colorizer.settings.tint,
        "prior": provenance.array_fingerprint(shares),
        "skipped": problems,
    }
    return found.compute() | {"protocol": protocol}


def rendered(found: dict[str, Json]) -> tuple[str, str, bytes]:
    """Return (JSON, the table as text, PNG) of what `measure` gave."""
    return record.dumps(found), table.text(frontier.table(found)), frontier.png(found)
