"""Keep track of the files that a batch writes: none is written twice, and no photo is
overwritten.
"""

import os
from collections.abc import Iterable

from cic.colorize.batch import Part, Pictures
from cic.colorize.colorizer import MAP, SHEET
from cic.colorize.joblist import Relations
from cic.colorize.task import Task
from cic.photos import sources
from cic.photos.images import PhotoError
from cic.system.addresses import real


class Results:
    """The files that jobs of these Relations write, and those that were there before."""

    def __init__(self, relations: Relations, part: Part, wanted: Pictures) -> None:
        self.relations, self.part, self.wanted = relations, part, wanted
        self.taken: dict[str, str] = {}  # real path: source, if another job may want to write it

    def are_there(self, target: str) -> bool:
        """Return whether a photo's pictures can be left alone: the one that is written last is
        there.
        """
        if not self.part.skip_existing:
            return False
        names = self.wanted.names(target)
        return all(names[kind] in self.part.existing for kind in (1, SHEET, MAP) if kind in names)

    def skip_existing(self, task: Task) -> bool:
        """Return whether a task's result is there, and its own; note it then."""
        if not self.are_there(task.target) or self._owner(real(task.target)):
            return False
        self.claim(task, task.target)
        task.is_there = True
        return True

    def claim(self, task: Task, name: str) -> None:
        """Note a file that was written."""
        several = self.wanted.several or self.wanted.all_pages
        if several or task.target in self.relations.shared:
            self.taken[real(name)] = task.source

    def refuse_taken(self, task: Task, names: Iterable[str]) -> None:
        """Raise PhotoError if a file to write is taken."""
        for name in names:
            if not self.part.replaces and os.path.lexists(name):
                raise PhotoError(
                    f"{task.source!r}: {name!r} is there already: skip_existing leaves it, "
                    "another output goes elsewhere"
                )
            reason = self._owner(real(name))
            if not reason and name != task.target and self._is_of_another_share(name):
                reason = "is the result of another photo"
            if not reason:
                continue
            raise PhotoError(
                f"{task.source!r}: {name!r} {reason}: colorize it by itself, "
                f"for example to {_other_name(name, task.source)!r}"
            )

    def _owner(self, place: str) -> str | None:
        """Return why a file, by its real path, is not to be written; None if it may be."""
        if self.relations.is_source(place):
            return "would overwrite a photo to colorize"
        if place in self.taken:
            return f"is the result of {self.taken[place]!r} already"
        return None

    def _is_of_another_share(self, name: str) -> bool:
        return not self.part.share.is_whole and self.relations.is_target(name)


def _other_name(name: str, source: str) -> str:
    """Return what a result may be called whose name is taken: the source's ending tells them
    apart.
    """
    if sources.is_film(source):
        from cic.films import writer  # heavy, and photos need none of it

        name = writer.target_name(name)
    stem, extension = os.path.splitext(name)
    kind = os.path.splitext(source)[1].lstrip(".").lower() or "2"
    return f"{stem}-{kind}{extension}"
