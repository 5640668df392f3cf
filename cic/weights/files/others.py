"""Say what a file is that holds no weights, or holds them in a format that is not read here.

Its first bytes tell, or else its name. Each answer says what to do next.
"""

import os
import re
from collections.abc import Iterable

from cic.system.typing import StrPath

START = 1024  # bytes that are looked at
READ = (
    "read are .safetensors, .pth, .pt and .ckpt of PyTorch, .pdparams of Paddle, .caffemodel, and "
    "this project's .onnx"
)
FROM_TORCHSCRIPT = (
    "save its state_dict instead: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
)
EXPORT = f"a network exported for inference: get the weights that it was made from; {READ}"
_UNPACK = "unpack it first, and give the file of weights in it"
_PICTURE = "a picture: photos are not given as weights"
_PROTOTXT = "a description of a Caffe network, without weights: get the .caffemodel beside it"
_REFUSAL = "as of a server that refuses a download: log in there, or check the address"
_KERAS = f"as of Keras: load its weights in its own program, and save a .safetensors; {READ}"
_CONVERT = f"convert it to .safetensors first; {READ}"
_SIGNS = (
    (rb"\x89HDF\r\n\x1a\n", f"an HDF5 file, {_KERAS}"),
    (rb"\x93NUMPY", f"an array of NumPy (.npy), such as a prior; {READ}"),
    (rb"GGUF", f"a GGUF file, of a language model; {READ}"),
    (rb"....TFL3", f"a TensorFlow Lite file, {EXPORT}"),
    (rb"\0{16}.\0\0\0\x08.\x10", f"a .pdiparams of Paddle, {EXPORT}"),
    (rb"\x1f\x8b", f"a gzip archive: {_UNPACK}"),
    (rb"BZh", f"a bzip2 archive: {_UNPACK}"),
    (rb"\xfd7zXZ", f"an xz archive: {_UNPACK}"),
    (rb"\x28\xb5\x2f\xfd", f"a Zstandard archive: {_UNPACK}"),
    (rb"7z\xbc\xaf\x27\x1c", f"a 7-Zip archive: {_UNPACK}"),
    (rb"Rar!", f"a RAR archive: {_UNPACK}"),
    (rb".{257}ustar", f"a tar archive: {_UNPACK}"),
    (rb"\xff\xd8\xff", f"a JPEG, {_PICTURE}"),
    (rb"\x89PNG", f"a PNG, {_PICTURE}"),
    (rb"GIF8", f"a GIF, {_PICTURE}"),
    (rb"RIFF....WEBP", f"a WebP, {_PICTURE}"),
    (rb"(II\*\0|MM\0\*|II\+\0|MM\0\+)", f"a TIFF, {_PICTURE}"),
    (rb"BM....\0\0\0\0", f"a BMP, {_PICTURE}"),
    (rb"....ftyp(heic|heix|mif1|avif|avis)", f"a HEIC or AVIF, {_PICTURE}"),
    (rb"....ftyp", "a film"),
    (rb"%PDF", "a PDF"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"\0{512}", "begins with zeros: a download that broke off? Get it again"),
)
_TEXTS = (
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, not the file itself: run git lfs pull in its repository",
    ),
    (
        rb"<(!--|!doctype html|html|head|body|script)",
        "an HTML page: the download wanted a login or a click: open the address in a "
        "browser, and save the file itself",
    ),
    (rb"<(\?xml|[a-z]+[ >])", f"an XML file, {_REFUSAL}"),
    (rb"/annex/objects/", "a git-annex pointer, not the file itself: run git annex get FILE"),
    (rb"outs:\s", "a DVC pointer, not the file itself: run dvc pull in its repository"),
    (
        rb"(#[^\n]*\n\s*)*(name|layers?|input|input_dim|input_shape)\s*[:{]",
        f"a prototxt, {_PROTOTXT}",
    ),
)
_REFUSED = re.compile(
    rb"(\d{3}:? |error|not found|access (is )?denied|unauthorized|forbidden|invalid user)"
    rb"|\{\s*\"(error|errors|message|detail)\"",
    re.IGNORECASE,
)
_FIRST_WORDS = re.compile(rb"[^\0-\x08\x0e-\x1f\x7f]{8,40}")  # of a text
_ENDINGS = {
    **dict.fromkeys((".h5", ".hdf5", ".keras"), f"a file {_KERAS}"),
    ".pdiparams": f"a .pdiparams of Paddle, {EXPORT}",
    ".pdmodel": f"a .pdmodel of Paddle, {EXPORT}",
    ".pdopt": "an optimizer's state of Paddle: get the .pdparams beside it",
    ".onnx": f"an ONNX file, {EXPORT}",
    ".tflite": f"a TensorFlow Lite file, {EXPORT}",
    ".pb": f"a TensorFlow file, {EXPORT}",
    ".index": f"the index of a TensorFlow checkpoint: {_CONVERT}",
    ".prototxt": f"a prototxt, {_PROTOTXT}",
    ".solverstate": "a Caffe solver's state: get the .caffemodel beside it",
    ".mlmodel": f"a Core ML file, {EXPORT}",
    ".t7": f"a file of Torch 7 (Lua): {_CONVERT}",
    ".msgpack": f"a file of Flax: {_CONVERT}",
}


def by_sign(start: bytes) -> str | None:
    """Return what a file is that begins with these bytes, in words; None if they are no known
    sign.
    """
    if not start:
        return "an empty file: a download that broke off? Get it again"
    return _matching(_SIGNS, start, re.DOTALL)


def by_text(start: bytes, path: StrPath) -> str:
    """Return what a file is that begins with these bytes, by its text or name, in words, always."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        start = start.decode("utf-16", errors="replace").encode()
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if what := _matching(_TEXTS, text, re.IGNORECASE):
        return what
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    if suffix in _ENDINGS:
        return _ENDINGS[suffix]
    words = _FIRST_WORDS.match(text)
    if words and _is_utf8(text):
        hint = _REFUSAL if _REFUSED.match(text) else READ
        return f"a text: it begins with {words[0].decode(errors='replace')!r}; {hint}"
    return f"no known kind of file: it begins with {start[:8].hex(' ')}; {READ}"


def _is_utf8(start: bytes) -> bool:
    """Return whether bytes are the start of a text in UTF-8, whose last letter may be cut off."""
    return "\ufffd" not in start.decode(errors="replace")[:-1]


def _matching(signs: Iterable[tuple[bytes, str]], start: bytes, flags: int) -> str | None:
    for sign, what in signs:
        if re.match(sign, start, flags):
            return what
    return None


def in_archive(names: Iterable[str]) -> str:
    """Return what a zip archive without weights is, or has in it, in words that follow a colon."""
    names = list(names)
    if any(name.endswith(".npy") for name in names):
        return f": an .npz of NumPy; {READ}"
    if any(name.endswith(".weights.h5") for name in names):
        return f": a .keras file {_KERAS}"
    some = ", ".join(name[:60] for name in names[:3]) or "nothing"
    return f": a zip archive: {_UNPACK}: it has {some}"
