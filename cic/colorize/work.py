"""Colorize files of photos and films, several photos at once; a failure never stops the others."""

import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from typing import Protocol, TypeAlias

from cic.colorize import manifest
from cic.colorize.batch import ALL, ONE, Outcome, Part, Pictures
from cic.colorize.colorizer import Colorizer, NotFinite
from cic.colorize.hints import Outside
from cic.colorize.joblist import Done, Job, Relations
from cic.colorize.pictures import Maker
from cic.colorize.results import Results
from cic.colorize.task import Report, Task
from cic.photos import budget, sources
from cic.photos.damage import failed_on
from cic.system import pipeline, shares, threads
from cic.system.pipeline import Gate
from cic.system.progress import Callback, Told, told

FilmWorker: TypeAlias = Callable[[str, str, Callable[[str], object]], object]


class Worker(Protocol):
    """Callable that colours jobs, here or elsewhere."""

    def __call__(
        self, relations: Relations, part: Part, numbers: Sequence[int], bar: Told
    ) -> Generator[Report]:
        """Yield the Report of each job of these numbers, after passing on the lines about it."""


def local_worker(
    colorizer: Colorizer,
    pictures: Pictures = ONE,
    film: FilmWorker | None = None,
) -> Worker:
    """Return the Worker of this process, which yields in order.

    `pictures` are those to make of each; `film(source, target, say)` colorizes a film and says
    lines on it (see `film.film_worker`): without it films are refused as any file is.
    """

    def worker(
        relations: Relations, part: Part, numbers: Sequence[int], bar: Told
    ) -> Generator[Report]:
        return _Work(colorizer, pictures, film, relations, part).reports(numbers, bar)

    return worker


def colorize_files(
    colorizer: Colorizer,
    jobs: Sequence[Job],
    pictures: Pictures = ONE,
    film: FilmWorker | None = None,
    progress: Callback | None = None,
    part: Part = ALL,
) -> Outcome:
    """Colorize (source, target) files in this process: see `local_worker` and `run_jobs`."""
    return run_jobs(local_worker(colorizer, pictures, film), jobs, progress, part)


def run_jobs(
    worker: Worker, jobs: Sequence[Job], progress: Callback | None = None, part: Part = ALL
) -> Outcome:
    """Have (source, target) files colorized: an Outcome.

    A failure, of whatever kind, is named in one line and never stops the rest. Two sources with one
    target, or a target that is a source, are failures too; files of earlier runs are replaced.
    `part` says which of the jobs are done now. Steps and lines are told to `progress`, see
    `cic.system.progress`; by default a bar is shown.
    """
    relations = Relations(jobs)
    numbers = relations.of_share(part.share)
    with ExitStack() as stack:
        lines = None
        if part.manifest:
            lines = stack.enter_context(manifest.opened(part.share.own(part.manifest)))
        bar = stack.enter_context(told(progress, total=len(numbers)))
        _introduce(relations, part, len(numbers), bar)
        done, failed = Done(jobs), 0
        reports = stack.enter_context(closing(worker(relations, part, numbers, bar)))
        for report in bar.each(reports):
            done.add(report.number, report.made)
            done.untouched += report.is_untouched
            failed += len(report.errors)
            if lines and not (report.is_untouched and lines.has(report.target)):
                lines.add(report.line())
        return Outcome(done, failed)


def _introduce(relations: Relations, part: Part, own: int, bar: Told) -> None:
    """Say what list a share is of, and whether another share had another one."""
    if part.share.is_whole:
        return
    count, mark = len(relations.jobs), relations.mark
    bar.say(shares.introduced(part.share, own, count, mark))
    if part.manifest and (warning := manifest.compared(part.manifest, part.share, count, mark)):
        bar.say(warning)


class _Work:
    """Work on files, several at once within the memory that there is."""

    def __init__(
        self,
        colorizer: Colorizer,
        wanted: Pictures,
        film: FilmWorker | None,
        relations: Relations,
        part: Part,
    ) -> None:
        wanted.check_jobs(relations.jobs)
        self.wanted, self.film, self.relations = wanted, film, relations
        self.gate = Gate(min(budget.room(), budget.available_memory() / 2))
        self.results = Results(relations, part, wanted)
        self.maker = Maker(colorizer, wanted, self.results, self.gate.check)

    def reports(self, numbers: Sequence[int], bar: Told) -> Generator[Report]:
        """Yield the Reports of these jobs, in order, each after its lines."""
        jobs, gate = self.relations.jobs, self.gate
        workers = max(1, min(threads.total(), len(numbers)))
        if self.wanted.several or self.wanted.all_pages:
            workers = 1  # of these pictures there may be any number: see Results.refuse_taken
        said: dict[int, list[str]] = {}

        def report_of(number: int) -> Report:
            is_alone = workers == 1 or self._is_alone(number)
            say = bar.say if is_alone else said.setdefault(number, []).append
            with gate.entered() as reserve:
                task = Task(number, *jobs[number], say, reserve)
                self.colorize(task)
            return task.report()

        with threads.batch_of(workers), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # see opening.photo_errors
            alone = (lambda number: True) if workers == 1 else self._is_alone
            for report in pipeline.ordered(report_of, numbers, workers, gate, alone):
                for line in said.pop(report.number, ()):
                    bar.say(line)
                yield report

    def _is_alone(self, number: int) -> bool:
        """Return whether a job is done alone: a film, which takes all cores, or one of several that
        would write the same file: the first alone is to do it.
        """
        source, target = self.relations.jobs[number]
        return target in self.relations.shared or bool(self.film and sources.is_film(source))

    def colorize(self, task: Task) -> None:
        """Colorize a file; whatever its photo, or the network, brings out, is a failure."""
        if self.results.skip_existing(task):
            return
        begin = time.perf_counter()
        try:
            if self.film and sources.is_film(task.source):
                self._colorize_film(self.film, task)
            else:
                self.maker.make(task)
        except Exception as error:  # one photo never ends the others
            named = f"{task.source!r}: " if isinstance(error, (NotFinite, Outside)) else ""
            task.fail(f"{named}{failed_on(task.source, error)}")
        task.seconds = round(time.perf_counter() - begin, 3)

    def _colorize_film(self, film: FilmWorker, task: Task) -> None:
        self.results.refuse_taken(task, [task.target])
        with threads.batch_of(None):
            film(task.source, task.target, task.say)
        self.results.claim(task, task.target)
        task.made.append(task.target)
