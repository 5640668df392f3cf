"""Names of the types that all rooms share, without NumPy; `arrays` has those of arrays."""

import os
from typing import Any, BinaryIO, Protocol, TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
Json: TypeAlias = Any  # a value that JSON can have: what is in it is checked where it is used


class Openable(Protocol):
    """A photo without a file of its own, such as one in a shard."""

    def open(self) -> BinaryIO:
        """Return the photo's bytes, as a file."""


Source: TypeAlias = StrPath | Openable
