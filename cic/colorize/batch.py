"""The settings of a batch, pictures to make and part to do, and its outcome."""

import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cic.colorize.colorizer import MAP, SHEET, Kind
from cic.colorize.existing import OneByOne
from cic.colorize.hints import Hint
from cic.colorize.joblist import Done, Job
from cic.photos import sources
from cic.system.errors import SettingError
from cic.system.shares import WHOLE, Share


@dataclass(frozen=True)
class Pictures:
    """Which pictures are made of each file.

    Of a file of several pages, one is coloured, or with `all_pages` each of them. A page becomes a
    file of its own; the pages of a TIFF become one TIFF. Several `alternatives`, and `uncertainty`,
    ask for further pictures (see `Colorizer.pictures`), written beside the first (see `names`);
    pages then have files of their own. With `stretched`, numbers that do not reach white are
    stretched (see `images.open_pages`). `hints` are colours that a person chose (see
    `hints.follow`).
    """

    all_pages: bool = False
    alternatives: int = 1
    uncertainty: bool = False
    stretched: bool = True
    hints: Sequence[Hint] = ()

    def __post_init__(self) -> None:
        if self.hints and self.all_pages:
            raise SettingError("hints are of one picture: leave out all_pages")
        if self.hints and self.several:
            raise SettingError("hints: leave out alternatives and uncertainty, which know none")

    def check_jobs(self, jobs: Sequence[Job]) -> None:
        """Raise SettingError if there are `hints`, and `jobs` are not one photo."""
        if self.hints and (len(jobs) != 1 or sources.is_film(jobs[0][0])):
            raise SettingError("hints are of one photo: name it alone")

    @property
    def several(self) -> bool:
        """Whether more than one picture is made of a photo."""
        return self.alternatives > 1 or self.uncertainty

    def names(self, target: str) -> dict[Kind, str]:
        """Return {kind: file} of a photo's pictures: the target, and what its name gives for the
        others.

        >>> Pictures(alternatives=2).names("new.png")
        {1: 'new.png', 2: 'new-alternative-2.png', 'sheet': 'new-alternatives.jpg'}
        """
        stem, extension = os.path.splitext(target)
        names: dict[Kind, str] = {1: target}
        for number in range(2, self.alternatives + 1):
            names[number] = f"{stem}-alternative-{number}{extension}"
        if self.alternatives > 1:
            names[SHEET] = f"{stem}-alternatives.jpg"
        if self.uncertainty:
            names[MAP] = f"{stem}-uncertainty.png"
        return names


ONE = Pictures()


@dataclass(frozen=True)
class Part:
    """The part of a batch to do: a share of it, without the results that are there.

    With `skip_existing` a result among the `existing` stays, and its photo is not opened. The
    `manifest` is a file that gets a line for each photo; each of several shares has its own. With
    `replaces` a result replaces a file of its name; without it the photo fails.
    """

    share: Share = WHOLE
    skip_existing: bool = False
    manifest: str | None = None
    replaces: bool = True
    existing: Container[str] = OneByOne()


ALL = Part()


class Outcome(NamedTuple):
    """The outcome: (source, target) of each picture, and the number of files or pages that
    failed.
    """

    done: Done
    failed: int

    def __str__(self) -> str:
        there = f", {self.done.untouched} there already" if self.done.untouched else ""
        return f"{len(self.done)} colorized, {self.failed} failed{there}"
