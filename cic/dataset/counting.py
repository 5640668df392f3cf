"""Count how often each ab bin occurs in a user's own photos: their prior."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from cic.colour import ab_plane, prior, rebalance
from cic.photos import images, kinds, sources
from cic.photos.damage import failed_on
from cic.photos.sources import PhotoFile
from cic.system.errors import InputError, SettingError
from cic.system.files import check, check_outside
from cic.system.parallel import Pool
from cic.system.progress import Callback, tell, told
from cic.system.settings import check_whole

FEW = 500  # photos below which chance shows: weights from 100 are 9 % off, from 500 2.5 %
MANY_GRAY = 0.1  # share of gray photos that is worth a look
CHUNK = 16  # photos that travel to a worker together


@dataclass(frozen=True)
class Counting:
    """What to count: photos of `image_dir`, folders and tar shards, and the priors of `merge`.

    The prior is written to `output`, an .npy file, and a picture of it beside that. Photos are
    shrunk to a short side of `load_size`, pixels, as training sees them; `num_workers` processes
    read them, 0 for this one alone. Raises ValueError for an output of another ending, and if there
    is nothing to count.
    """

    image_dir: Sequence[str]
    output: str
    merge: Sequence[str] = ()
    load_size: int = 256
    num_workers: int = 0

    def __post_init__(self) -> None:
        check_whole(self, load_size=1, num_workers=0)
        if isinstance(self.image_dir, str | os.PathLike):
            object.__setattr__(self, "image_dir", (self.image_dir,))
        if not self.image_dir and not self.merge:
            raise SettingError("nothing to count: name photos as image_dir or priors as merge")
        if os.path.splitext(self.output)[1] != ".npy":
            raise SettingError(f"{self.output}: the prior is a .npy file: call it prior.npy, say")

    @property
    def picture(self) -> str:
        """Path of the picture of the prior."""
        return os.path.splitext(self.output)[0] + ".png"


@dataclass
class Counted:
    """The colour.prior.Prior, the number of gray photos left out, and the number of unreadable
    ones.

    `divergence` is the Kullback-Leibler divergence from the bundled prior, nats; `picture` is a
    file.
    """

    prior: prior.Prior
    gray: int
    failed: int
    divergence: float
    picture: str


def _refuse_outputs(counting: Counting) -> None:
    """Raise ValueError or OSError, before any work, if an output is no good."""
    check(counting.output)
    refusal = "the picture would be among the photos: choose another folder"
    check_outside([counting.picture], counting.image_dir, refusal)


def _count_photo(load_size: int, photo: PhotoFile) -> prior.Prior | images.PhotoError:
    """Return the Prior of one photo, without any pixels if it is gray; or the PhotoError of reading
    it.
    """
    counts = prior.Prior()
    try:
        ab = prior.photo_ab(photo, load_size)
    except Exception as error:  # one photo never ends the others
        return images.PhotoError(failed_on(photo, error))
    if not rebalance.is_gray(ab):
        counts.update(ab)
    return counts


def _count_all(
    counting: Counting, progress: Callback | None
) -> tuple[prior.Prior, int, int, kinds.LeftOut]:
    """Return (Prior, number of gray photos, number of failures, LeftOut) of all photos and
    priors.
    """
    failures: list[images.PhotoError] = []
    total, gray, left_out = prior.Prior(), 0, kinds.LeftOut()
    for path in counting.merge:
        total.merge(prior.Prior.load(path))
    found = sources.photos(counting.image_dir, failures.append, left_out)
    workers = counting.num_workers if counting.image_dir else 0
    with Pool(workers, _count_photo, counting.load_size) as pool, told(progress) as bar:
        for result in bar.each(pool.map(found, CHUNK)):
            if isinstance(result, images.PhotoError):
                failures.append(result)
            else:
                total.merge(result)
                gray += not result.photos
        for failure in failures:
            bar.say(f"skipped: {failure}")
    return total, gray, len(failures), left_out


def count(counting: Counting, progress: Callback | None = None) -> Counted:
    """Count what a Counting names, and write the prior and its picture: Counted.

    Steps and lines are told to `progress`, see `cic.system.progress`; by default a bar is shown.
    Raises ValueError or OSError for outputs that cannot be, and if no photo has colours.
    """
    _refuse_outputs(counting)
    total, gray, failed, left_out = _count_all(counting, progress)
    if not total.photos:
        places = map(str, (*counting.image_dir, *counting.merge))
        raise InputError(f"{', '.join(places)}: no colour photo in there{left_out.said()}")
    total.save(counting.output)
    mine, bundled = total.compute(), prior.default()
    images.write(counting.picture, ab_plane.draw({"these photos": mine, "bundled": bundled}))
    for line in left_out.lines():
        tell(line, progress)
    return Counted(total, gray, failed, prior.divergence(mine, bundled), counting.picture)
