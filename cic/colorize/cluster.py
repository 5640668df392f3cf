"""Colorize a batch on the machines of a cluster: blocks of photos go out, reports come back.

Photos and results do not pass through this process: each process reads and writes them itself, in a
folder that all machines share, or in storage, just as a run on one machine does.
"""

import os
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, NoReturn

import cic
from cic.colorize import work
from cic.colorize.batch import ONE, Part, Pictures
from cic.colorize.colorizer import Colorizer
from cic.colorize.joblist import Job, Relations
from cic.colorize.task import Report
from cic.photos.images import PhotoError
from cic.system import cluster, defects, limits, locks, threads
from cic.system.addresses import is_address
from cic.system.cluster import Actors, Block, Cores
from cic.system.errors import FileError, InputError
from cic.system.files import remove_leftovers
from cic.system.progress import Event, Told

BLOCK = 16  # photos, some seconds of work: a lost process costs no more
ROUNDS = 4  # blocks for each process, at least, so that all end together


class Home(NamedTuple):
    """The machine that asks, so that a process on another one can check that it sees the same
    files.

    It has a `folder`, perhaps a lock in the output folder and its content, and its version of this
    package.
    """

    folder: str
    lock: str | None
    content: bytes
    version: str = cic.__version__

    @classmethod
    def of(cls, output: str | None) -> "Home":
        """This machine, and an output folder in which a run holds the lock."""
        path = os.path.join(output or "", locks.NAME)
        if output is None or is_address(output) or not os.path.exists(path):
            return cls(os.getcwd(), None, b"")
        with open(path, "rb") as file:
            return cls(os.getcwd(), path, file.read())

    def enter(self) -> None:
        """Go to its folder; raises InputError if this version is another, FileError if what is
        here are not the same files.
        """
        here = socket.gethostname()
        if cic.__version__ != self.version:
            raise InputError(
                f"{here}: has version {cic.__version__} of this package, and not {self.version}: "
                "install the same one on all machines"
            )
        try:
            os.chdir(self.folder)
            with open(self.lock or os.devnull, "rb") as file:
                same = file.read() == self.content
        except OSError:
            same = False
        if not same:
            place = os.path.dirname(self.lock) if self.lock else self.folder
            raise FileError(
                f"{place}: not the same folder on {here}: all machines of the cluster must share "
                "it; or name addresses, such as s3://bucket/scans"
            )


@dataclass(frozen=True)
class PainterMaker:
    """Callable: makes a BlockPainter, in its process, of the Colorizer that `make()` gives."""

    make: Callable[[], Colorizer]
    pictures: Pictures
    replaces: bool
    home: Home
    pixels: int | None
    cores: Cores

    def __call__(self) -> "BlockPainter":
        self.home.enter()
        limits.limit_pixels(self.pixels)
        threads.limit(self.cores.cpus)
        return BlockPainter(self.make(), self.pictures, self.replaces)


class Item(NamedTuple):
    """A job of the list by its number; `there` are those of its results that must stay."""

    number: int
    job: Job
    there: frozenset[str]


class BlockOutcome(NamedTuple):
    """The Reports of a block, and the lines and defects to show."""

    reports: list[Report]
    lines: list[str]
    defects: dict[str, str]


class BlockPainter:
    """Callable: the Items of a block -> BlockOutcome, in a process of the cluster."""

    def __init__(self, colorizer: Colorizer, pictures: Pictures, replaces: bool = True) -> None:
        self.worker, self.replaces = work.local_worker(colorizer, pictures, refuse_film), replaces

    def __call__(self, items: Sequence[Item]) -> BlockOutcome:
        lines: list[str] = []

        def note(event: Event) -> None:
            lines.extend([event.message] if event.message else [])

        there = frozenset[str]().union(*(item.there for item in items))
        part = Part(skip_existing=bool(there), replaces=self.replaces, existing=there)
        relations = Relations([item.job for item in items])
        tasks = self.worker(relations, part, range(len(items)), Told(note))
        reports = [report._replace(number=items[report.number].number) for report in tasks]
        return BlockOutcome(reports, lines, defects.take())


def refuse_film(source: str, target: str, say: object) -> NoReturn:
    """Raise PhotoError: films are not for a cluster."""
    raise PhotoError(f"{source!r}: a film is coloured on one machine: leave Ray out")


class Cluster:
    """A `work.Worker` of the cluster that `ray` is connected to.

    Each process has a Colorizer that `make()` gives there, on a GPU of its own if the cluster has
    some and they are wanted, `on_gpus`. Results lie in the folder `output`, or beside the photos.
    """

    def __init__(
        self,
        ray: cluster.Ray,
        make: Callable[[], Colorizer],
        pictures: Pictures = ONE,
        on_gpus: bool = False,
        output: str | None = None,
    ) -> None:
        self.ray, self.make, self.pictures, self.output = ray, make, pictures, output
        self.cores, self.count = cluster.divide_cores(ray, on_gpus)

    def __call__(
        self, relations: Relations, part: Part, numbers: Sequence[int], bar: Told
    ) -> Generator[Report]:
        home, pixels = Home.of(self.output), limits.pixel_limit()
        maker = PainterMaker(self.make, self.pictures, part.replaces, home, pixels, self.cores)
        crew: Actors[Item] = Actors(self.ray, maker, self.count, self.cores)
        finished = False
        try:
            with closing(crew.each(self._blocks(relations, part, numbers), bar.say)) as found:
                for block, made in found:
                    yield from _told(block, made, bar)
            finished = True
        finally:
            if home.lock and (crew.losses or not finished):
                remove_leftovers(os.path.dirname(home.lock), alone=False)

    def _blocks(
        self, relations: Relations, part: Part, numbers: Sequence[int]
    ) -> Iterator[Block[Item]]:
        """Yield the blocks of the jobs; those of which one might write another's file stay
        together.
        """
        names = self.pictures.names

        def item(number: int) -> Item:
            job = relations.jobs[number]
            mine = names(job[1]).values() if part.skip_existing else ()
            return Item(number, job, frozenset(name for name in mine if name in part.existing))

        related = relations.related(lambda target: names(target).values())
        if together := [number for number in numbers if number in related]:
            yield Block(tuple(map(item, together)), whole=True)
        size = max(1, min(BLOCK, len(numbers) // (ROUNDS * self.count)))
        alone = (number for number in numbers if number not in related)
        while items := tuple(map(item, islice(alone, size))):
            yield Block(items)


def _told(block: Block[Item], made: BlockOutcome | None, bar: Told) -> Iterator[Report]:
    """Yield the Reports of a block, after its lines; what was lost too often has failed."""
    if made is None:
        lost = f"each of the {block.tries} processes that coloured it was lost: too little memory?"
        for number, (source, target), _ in block.items:
            bar.say(f"failed: {source!r}: {lost}")
            yield Report(number, source, target, errors=(f"{source!r}: {lost}",))
        return
    defects.add(made.defects)
    for line in made.lines:
        bar.say(line)
    yield from made.reports
