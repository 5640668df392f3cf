"""Recognise photos by their first bytes, and say how to convert kinds that are not read."""

import importlib.util
from collections import Counter

from cic.system.regular import open_regular
from cic.system.typing import StrPath

START = 64  # bytes by which a file is known

_SIGNS = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"), (b"\0\0\0\x0cjP  \r\n\x87\n", ".jp2"), (b"\xff\x4f\xff\x51\0", ".j2k"),
    (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"II+\0\x08\0\0\0", ".tif"),
    (b"MM\0+\0\x08\0\0", ".tif"), (b"8BPS\0\1", ".psd"), (b"qoif", ".qoi"),
)  # fmt: skip
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # lengths of its second header
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # ISO 23008-12
AVIF = {b"avif", b"avis"}

# Films: Matroska, MPEG, Flash, ASF, Real, MXF (SMPTE ST 377-1, 6.5), NUT. QuickTime has boxes.
_FILMS = (
    b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV\1", b"0&\xb2u\x8ef\xcf\x11", b".RMF",
    b"\x06\x0e+4\2\5\1\1\r\1\2\1\1\2", b"nut/multimedia container\0",
)  # fmt: skip
_BOXES = {b"ftyp", b"moov", b"mdat", b"wide"}
_NO_FILMS = {b"crx ", b"M4A ", b"M4B ", *HEIC, *AVIF}

JXL, RAW, PDF, POSTSCRIPT = "JPEG XL", "RAW", "PDF", "PostScript"
EXR, JXR, DJVU, DPX = "OpenEXR", "JPEG XR", "DjVu", "DPX or Cineon"
HDR, XCF, BACKUP = "Radiance HDR", "XCF", "backup copies of photos"
HINTS = {
    JXL: "pip install pillow-jxl-plugin",
    RAW: "develop them to TIFF or JPEG first, with darktable or RawTherapee, say",
    PDF: "take their pictures out first: pdfimages -all FILE.pdf photo",
    POSTSCRIPT: "make pictures of them first: gs -sDEVICE=png16m -r300 -o %d.png FILE",
    EXR: "convert them to TIFF of 16 bits first",
    JXR: "convert them to TIFF first",
    DJVU: "convert them to TIFF first: ddjvu -format=tiff FILE.djvu photo.tif",
    DPX: "convert them to TIFF of 16 bits first: ffmpeg -i FILE.dpx photo.tif",
    HDR: "convert them to TIFF of 16 bits first",
    XCF: "export them from GIMP to TIFF or PNG first",
    BACKUP: "rename those that are wanted",
}
_LEFT = (
    (b"\0\0\0\x0cJXL \r\n\x87\n", JXL), (b"\xff\x0a", JXL), (b"%PDF-", PDF),
    (b"%!PS", POSTSCRIPT), (b"\xc5\xd0\xd3\xc6", POSTSCRIPT), (b"v/1\1", EXR),
    (b"II\xbc\1", JXR), (b"AT&TFORM", DJVU), (b"FUJIFILMCCD-RAW", RAW), (b"IIRO", RAW),
    (b"IIRS", RAW), (b"IIU\0", RAW), (b"MMOR", RAW), (b"\0MRM", RAW), (b"FOVb", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW), (b"SDPX", DPX), (b"XPDS", DPX), (b"\x80*_\xd7", DPX),
    (b"\xd7_*\x80", DPX), (b"#?RADIANCE\n", HDR), (b"#?RGBE\n", HDR), (b"gimp xcf ", XCF),
)  # fmt: skip
# Endings of files that are left out, whatever their content: most RAW photos look like a TIFF.
_ENDINGS = {
    **dict.fromkeys((".jxl",), JXL),
    **dict.fromkeys((".pdf",), PDF),
    **dict.fromkeys((".ps", ".eps"), POSTSCRIPT),
    **dict.fromkeys((".exr",), EXR),
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), JXR),
    **dict.fromkeys((".djvu", ".djv"), DJVU),
    **dict.fromkeys((".dpx", ".cin"), DPX),
    **dict.fromkeys((".hdr",), HDR),
    **dict.fromkeys((".xcf",), XCF),
    **dict.fromkeys(
        (
            ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr",
            ".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef",
            ".ptx", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
        ),
        RAW,
    ),
}  # fmt: skip
_BACKUPS = (".bak", ".orig", ".old", ".tmp", ".part", ".crdownload", "~", "_original")
# Endings of files beside photos that are not looked into: they are many in data sets.
_OTHERS = frozenset(
    (
        ".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".md", ".htm", ".html", ".yaml",
        ".yml", ".npy", ".npz", ".pkl", ".pth", ".pt", ".pdparams", ".safetensors", ".tar",
        ".zip", ".gz", ".xz", ".7z", ".py", ".sh", ".log", ".ini", ".xmp", ".aae", ".db",
        ".mat", ".h5", ".lmdb", ".mp3", ".wav", ".m4a", ".flac", ".srt", ".cls",
    )
)  # fmt: skip


def photo_ending(start: bytes) -> str | None:
    """Return the usual ending, such as ".jpg", of a photo that begins with these bytes; None if
    none.
    """
    for sign, ending in _SIGNS:
        if start.startswith(sign):
            return None if start[8:10] == b"CR" and ending == ".tif" else ending  # a RAW
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return ".webp"
    if start[4:8] == b"ftyp" and start[8:12] in HEIC | AVIF:
        return ".avif" if start[8:12] in AVIF else ".heic"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return ".bmp"
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return ".pnm" if start[3:4].isdigit() or start[3:4] in (b"#", b" ") else None
    return None


def left_kind(start: bytes) -> str | None:
    """JXL, RAW, ... of a file that begins with these bytes; None if it is none of them."""
    if start[4:12] == b"ftypcrx " or (start[:4] == b"II*\0" and start[8:10] == b"CR"):
        return RAW
    return next((kind for sign, kind in _LEFT if start.startswith(sign)), None)


def starts_film(start: bytes) -> bool:
    """Return whether a file that begins with these bytes is a film, or sound in a film's format."""
    if start[4:8] in _BOXES:
        return start[8:12] not in _NO_FILMS
    if start.startswith(b"OggS"):  # RFC 3533; its first packet
        return start[28:].startswith((b"\x80theora", b"OVP80"))
    return start.startswith(_FILMS) or (start.startswith(b"RIFF") and start[8:12] == b"AVI ")


def is_beside(ending: str) -> bool:
    """Return whether files of an ending are not looked into: they lie beside photos."""
    return ending in _OTHERS


def is_readable(kind: str | None) -> bool:
    """Return whether an installed plugin reads a kind of files that are left out otherwise."""
    return kind == JXL and importlib.util.find_spec("pillow_jxl") is not None


def has_heif() -> bool:
    """Return whether HEIC photos are read here: the plugin is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def start_of(path: StrPath) -> bytes:
    """Return the first bytes of a regular file; none if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(START)
    except OSError:
        return b""


def judged(path: StrPath, ending: str) -> tuple[bool, str | None]:
    """Return (whether a file whose ending is not known is a photo, its kind if it is left out or
    None).

    `ending` is that of its name in lower case.
    """
    if ending in _OTHERS or ending in _ENDINGS:
        return judged_by_ending(ending)
    start = start_of(path)
    kind = left_kind(start)
    if kind is None and photo_ending(start):
        backup = ending in _BACKUPS or str(path).endswith(_BACKUPS)
        return not backup, BACKUP if backup else None
    return is_readable(kind), None if is_readable(kind) else kind


def judged_by_ending(ending: str) -> tuple[bool, str | None]:
    """Return what `judged` says of a file that is not looked into."""
    kind = _ENDINGS.get(ending)
    return is_readable(kind), None if is_readable(kind) else kind


class LeftOut(Counter[str]):
    """How many files of each kind were left out of a folder."""

    def lines(self) -> list[str]:
        """Return a line a kind, such as "3 JPEG XL left out: pip install pillow-jxl-plugin"."""
        return [f"{count:,} {kind} left out: {HINTS[kind]}" for kind, count in sorted(self.items())]

    def said(self) -> str:
        """Return the same as the end of a sentence on a folder without photos; nothing if none
        was.
        """
        return "".join(f"; {line}" for line in self.lines())
