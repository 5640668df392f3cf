"""The control groups that this process is in."""

import os
from collections.abc import Iterator


def folders(root: str, kind: str) -> Iterator[str]:
    """Yield the folders below `root` of the groups that this process is in, up to `root` itself.

    `kind` is what they control: "cpu", "memory". Those of version 2 control all.
    """
    found = (line.strip().split(":", 2) for line in lines("/proc/self/cgroup"))
    own = (parts for parts in found if len(parts) == 3)
    paths = {path.strip("/") for _, kinds, path in own if not kinds or kind in kinds} | {""}
    for path in paths:
        folder = os.path.normpath(os.path.join(root, path))
        while folder.startswith(root):
            yield folder
            folder = os.path.dirname(folder)


def lines(path: str) -> list[str]:
    """Return the lines of a small file of the kernel's; none if it is not there."""
    try:
        with open(path, encoding="ascii") as file:
            return file.readlines()
    except OSError:
        return []
