"""List photos at addresses as those of a folder, but recognise them by their endings alone."""

import os
from collections.abc import Callable, Collection, Iterator

from cic.photos import kinds, sources
from cic.photos.images import PhotoError
from cic.system import storage

FILM = "a film is read and written on this machine alone: copy it here first"


def walk(
    address: str,
    extensions: Collection[str],
    onerror: Callable[[PhotoError], object],
    left_out: kinds.LeftOut | None = None,
) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes) of the photos below an address, in the order of the bytes of the names.

    None that is hidden, or in what is. `onerror` is given the PhotoError of a film of these
    `extensions`, and of a name that no folder can have; `left_out` counts the photos of kinds that
    are not read here. Raises AddressError if it cannot be listed.
    """
    for name, size in storage.files(address):
        ending = os.path.splitext(name)[1].lower()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        taken, kind = kinds.judged_by_ending(ending)
        if kind and left_out is not None:
            left_out[kind] += 1
        if not taken and ending not in extensions:
            continue
        if problem := _problem(name):
            onerror(PhotoError(f"{os.path.join(address, name)!r}: {problem}"))
        else:
            yield name, size


def _problem(name: str) -> str | None:
    """Return why a file of a known ending is left out; None if it is not."""
    if "" in name.split("/") or "\0" in name:
        return "left out: no folder can have a file of that name"
    if sources.is_film(name):
        return FILM
    return None
