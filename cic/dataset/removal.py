"""A shell script that removes exactly the files it lists: POSIX sh, any name, nothing outside.

A file is removed only while its size and the sum of its content are those of the file that was
judged: by sha256sum or shasum where there is one, else by cksum, which every POSIX system has.
"""

import os
from typing import BinaryIO, TypeAlias

from cic.photos.sources import File, PhotoFile
from cic.system.addresses import trimmed
from cic.system.contents import Content
from cic.system.regular import open_regular
from cic.system.typing import StrPath

# Each file's folder is entered before the file is removed by its bare name: so the folder can be
# seen to lie where it did, without links that lead elsewhere, and cannot be exchanged in between.
_START = rb"""#!/bin/sh
# Removes the invalid photos that tools/get_invalid_images.py found, and nothing else.
#   sh remove_invalid.sh --dry-run        shows what it would remove
#   sh remove_invalid.sh                  removes it; a second time does no harm
#   ROOT=/new/place sh remove_invalid.sh  if the folder of photos has moved
LC_ALL=C
export LC_ALL
unset CDPATH
if [ -z "${ROOT-}" ]; then
    ROOT=%s
fi
dry=
if [ "$#" -eq 1 ] && [ "$1" = --dry-run ]; then
    dry=yes
elif [ "$#" -gt 0 ]; then
    printf '%%s\n' "usage: [ROOT=folder] sh $0 [--dry-run]" >&2
    exit 2
fi
case $ROOT in
/*) ;;
*) ROOT=./$ROOT ;;
esac
if ! cd -P -- "$ROOT" 2>/dev/null; then
    printf '%%s\n' "error: $ROOT: there is no such folder; say where it is: ROOT=folder sh $0" >&2
    exit 1
fi
root=${PWD%%/}
sums=
for tool in sha256sum shasum cksum; do
    if command -v "$tool" >/dev/null 2>&1; then
        sums=$tool
        break
    fi
done
if [ -z "$sums" ]; then
    printf '%%s\n' "error: nothing is removed without cksum or sha256sum: put one into PATH" >&2
    exit 1
fi
removed=0
gone=0
failed=0

fail() {
    printf '%%s\n' "failed: $root/$1: $2" >&2
    failed=$((failed + 1))
}

# same NAME SIZE SHA256 CKSUM: whether the file NAME still holds what it held when it was judged.
same() {
    [ "$(($(wc -c <"./$1")))" -eq "$2" ] || return 1
    case $sums in
    sha256sum) now=$(sha256sum <"./$1") then=$3 ;;
    shasum) now=$(shasum -a 256 <"./$1") then=$3 ;;
    *) now=$(cksum <"./$1") then=$4 ;;
    esac
    [ "${now%%%% *}" = "$then" ]
}

# prune FOLDER NAME SIZE SHA256 CKSUM [link]: remove the file NAME of FOLDER, which is empty or ends
# in a slash. It may be a link only if it was one to a photo in here when it was found.
prune() {
    if ! cd -P -- "$root/$1" 2>/dev/null; then
        if [ -d "$root/$1" ]; then
            fail "$1$2" "its folder cannot be entered"
        else
            gone=$((gone + 1))
        fi
        return
    fi
    case $PWD/ in
    "$root"/*) ;;
    *)
        fail "$1$2" "a link leads out of the folder"
        return
        ;;
    esac
    if [ ! -e "./$2" ] && [ ! -L "./$2" ]; then
        gone=$((gone + 1))
    elif [ -L "./$2" ] && [ "${6-}" != link ]; then
        fail "$1$2" "it has become a link"
    elif [ -d "./$2" ] && [ ! -L "./$2" ]; then
        fail "$1$2" "it is a folder"
    elif [ -e "./$2" ] && [ ! -f "./$2" ]; then
        fail "$1$2" "it is no regular file any more"
    elif [ -e "./$2" ] && [ ! -r "./$2" ]; then
        fail "$1$2" "it cannot be read, to see whether it is the photo that was judged"
    elif [ -e "./$2" ] && ! same "$2" "$3" "$4" "$5"; then
        fail "$1$2" "it has changed: it is not the photo that was judged"
    elif [ -n "$dry" ]; then
        printf '%%s\n' "would remove $root/$1$2"
        removed=$((removed + 1))
    elif rm -f -- "$2"; then
        removed=$((removed + 1))
    else
        fail "$1$2" "it could not be removed"
    fi
}

"""
_END = rb"""
if [ -n "$dry" ]; then
    printf '%s\n' "would remove $removed, already gone $gone, failed $failed"
else
    printf '%s\n' "removed $removed, already gone $gone, failed $failed"
fi
[ "$failed" -eq 0 ]
"""


class Script:
    """Writer of the removal script for files in the folder `root` to the binary file `file`."""

    ending = ".sh"

    def __init__(self, file: BinaryIO, root: StrPath) -> None:
        self.file = file
        self.root = os.path.abspath(root)
        self.file.write(_START % quoted(self.root))

    @staticmethod
    def takes(photo: PhotoFile) -> bool:
        """Return whether it can remove a photo: not one in a tar shard."""
        return isinstance(photo, File)

    def remove(self, name: str, content: Content) -> None:
        """Add a file by its name relative to the folder, and the contents.Content it must have."""
        folder, base = os.path.split(name)
        folder = os.path.join(folder, "") if folder else ""
        link = b" link" if os.path.islink(os.path.join(self.root, name)) else b""
        sums = b"%d %s %d" % (content.size, content.sha256.encode("ascii"), content.cksum)
        self.file.write(b"prune %s %s %s%s\n" % (quoted(folder), quoted(base), sums, link))

    def end(self) -> None:
        self.file.write(_END)


class Addresses:
    """Write the addresses of photos below the address `root` to the binary file `file`.

    A line each, for the store's own command: no script here could tell the store's errors apart.
    """

    ending = ".txt"

    def __init__(self, file: BinaryIO, root: str) -> None:
        self.file, self.root = file, trimmed(root)

    @staticmethod
    def takes(photo: PhotoFile) -> bool:
        """Return whether the name of a photo fits into a line."""
        return len(photo.name.splitlines()) == 1

    def remove(self, name: str, content: Content) -> None:
        """Add a photo by its name below the address."""
        self.file.write(os.fsencode(os.path.join(self.root, name)) + b"\n")

    def end(self) -> None:
        pass  # every line stands for itself


Removal: TypeAlias = Script | Addresses


def quoted(name: str) -> bytes:
    """Name -> bytes that any POSIX shell in the C locale reads as that name, byte by byte."""
    return b"'%s'" % os.fsencode(name).replace(b"'", rb"'\''")


def is_script(path: StrPath) -> bool:
    """Return whether the file at `path` is one that `Script` wrote."""
    start = _START[: _START.index(b", and nothing else")]
    try:
        with open_regular(path) as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def leads_outside(folder: StrPath, name: str) -> bool:
    """Return whether a file in `folder`, by its relative name, really lies elsewhere, or leads
    nowhere.
    """
    root = os.path.realpath(folder)
    path = os.path.join(root, name)
    if not os.path.realpath(path).startswith(os.path.join(root, "")):
        return True
    try:
        os.stat(path)
    except PermissionError:
        return False  # as far as can be seen
    except OSError:
        return os.path.islink(path)
    return False
