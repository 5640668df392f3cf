"""Download weights that others have published, once, and check them."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request

from tqdm import tqdm

from cic.system.errors import Error
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.system.typing import StrPath

# torchvision's weights "IMAGENET1K_V1"; a name's digits are the first of the file's SHA-256.
VGG16 = "https://download.pytorch.org/models/vgg16-397923af.pth"
PIECE = 1 << 20  # bytes read at once
TIMEOUT = 30  # seconds without an answer


class DownloadError(Error, OSError):
    """A file that could not be downloaded; the message says what to do."""


def cache_folder() -> str:
    """Return where downloads are kept: cic in $XDG_CACHE_HOME, by default ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "cic")


def sha256(path: StrPath) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def fetch(url: str, folder: str | None = None) -> str:
    """Return the path of the file of a `url` name-DIGITS.ext, downloaded unless it is in `folder`
    already.

    Its SHA-256 begins with the DIGITS, in the folder or fresh. Raises DownloadError if it cannot
    be had: nothing is left then.
    """
    path = os.path.join(folder or cache_folder(), os.path.basename(url))
    digits = os.path.splitext(path)[0].rpartition("-")[2]
    if os.path.isfile(path) and sha256(path).startswith(digits):
        return path
    try:
        with replacing(path) as fresh:
            _download(url, fresh)
            found = sha256(fresh)
            if not found.startswith(digits):
                raise DownloadError(f"its SHA-256 is {found[: len(digits)]}..., not {digits}...")
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(_reason(error)).split())
        raise DownloadError(
            f"{url}: not downloaded: {reason}: get the file elsewhere and pass it as weights"
        ) from None
    return path


def _reason(error: Exception) -> object:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return error.reason
    return error


def _download(url: str, path: str) -> None:
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as source,
        open(path, "wb") as target,
    ):
        length = source.headers.get("Content-Length")
        total = int(length) if length and length.isdecimal() else None
        name = os.path.basename(url)
        with tqdm(desc=name, total=total, unit="B", unit_scale=True) as bar:
            while piece := source.read(PIECE):
                target.write(piece)
                bar.update(len(piece))
        if total not in (None, target.tell()):
            raise DownloadError(f"only {target.tell():,} of {total:,} bytes came")
