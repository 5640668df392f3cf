"""Turn any text, such as a file's name or a foreign message, into one line that can be shown."""

import errno
import os
import unicodedata

_ODD = ("Cc", "Cs", "Zl", "Zp")  # controls, lone surrogates, ends of lines and paragraphs
# What helps, by the number of an error of the system; Windows has no quotas.
_NEXT = {
    errno.ENOSPC: "make room, and run the same command again",
    getattr(errno, "EDQUOT", errno.ENOSPC): "make room, and run the same command again",
    errno.EROFS: "write to another place",
}
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # of what follows


def printable(text: str | bytes) -> str:
    """Return `text`, or a file's name as bytes, on one line: odd characters and bytes are
    escaped.
    """
    text = os.fsdecode(text)
    return "".join(ascii(c)[1:-1] if _is_odd(c) else c for c in text)


def _is_odd(c: str) -> bool:
    return unicodedata.category(c) in _ODD or unicodedata.bidirectional(c) in _TURNING


def shortened(text: str, most: int = 200) -> str:
    """Return `text`, or its beginning if it has more than `most` characters: some quote whole
    files.
    """
    return text if len(text) <= most else f"{text[:most]} ..."


def message_of(error: BaseException) -> str:
    """Return what an exception says, on one line; its type's name if it says nothing.

    Of an error of the system: the file, the reason, and what to do next where that is known.
    """
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        named = () if error.filename is None else (repr(error.filename),)
        helps = (_NEXT[error.errno],) if error.errno in _NEXT else ()
        return printable(": ".join((*named, error.strerror, *helps)))
    return printable(str(error)) or type(error).__name__
