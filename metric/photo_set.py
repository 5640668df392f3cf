"""The photos that figures are of: looked for once, in a folder or at an address."""

import os
from collections.abc import Sequence
from itertools import islice

from cic.photos import kinds, sources, stored
from cic.photos.endings import EXTENSIONS
from cic.photos.images import PhotoError
from cic.photos.stored import Stored
from cic.system import contents
from cic.system.addresses import is_address
from cic.system.progress import tell
from cic.system.shares import size_of_file


class PhotoSet:
    """The first `most` photos of `place`, by default all: their `names` from there on.

    What kinds are left out is said.
    """

    def __init__(self, place: str, most: int | None = None) -> None:
        self.place, self.most = place, most
        left_out = kinds.LeftOut()
        self.stored = self._listed(left_out) if is_address(place) else {}
        self.names = list(self.stored)
        if not is_address(place):
            self.names = sources.find(place, most, left_out=left_out)
        for line in left_out.lines():
            tell(line)

    def _listed(self, left_out: kinds.LeftOut | None = None) -> dict[str, Stored]:
        """Return the photos at an address by their names, as they are now."""

        def skip(error: PhotoError) -> None:
            if left_out is not None:
                tell(f"skipped: {error}")

        found = stored.folder(self.place, EXTENSIONS, skip, left_out)
        return {photo.name: photo for photo in islice(found, self.most)}

    def path(self, name: str) -> str:
        """Return the path, or address, of a photo of that name."""
        return os.path.join(self.place, name)

    def size(self, name: str) -> int:
        """Return the bytes of a photo; 0 of one that cannot be looked at."""
        return self.stored[name].size if self.stored else size_of_file(self.path(name))

    def states(self, names: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Return what changes whenever these photos do, as it is now: see `contents.state`.

        At an address it is listed anew, not asked for one by one.
        """
        if not self.stored:
            return [contents.state(self.path(name)) for name in names]
        now = self._listed()
        return [now[name].listed if name in now else None for name in names]
