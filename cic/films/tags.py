"""The tags of a film: title, date, place, camera; language and purpose of its tracks."""

from collections.abc import Iterable, Mapping
from typing import Any

from cic.films.pyav import Container, Stream

# Of the old file, or true of its packets alone.
_STALE = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id",
    "duration", "bps",
}  # fmt: skip
_STATISTICS = ("number_of_", "_statistics_", "bps-", "duration-", "number_of_frames-")  # mkvmerge
# What MP4 holds as iTunes has it: libavformat's mov_write_ilst_tag. QuickTime's keys hold any.
_ITUNES = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre",
    "copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id",
    "network", "keywords", "media_type", "hd_video", "gapless_playback", "compilation",
    "track", "disc", "tmpo", "location", "creation_time", "language", "season_number",
    "episode_sort", "location-eng",
}  # fmt: skip
# Languages that MOV files know under another name than ISO 639-2/T has: libavformat's table of
# QuickTime's, mov_mdhd_language_map.
_QUICKTIME = {"hrv": "hr ", "srp": "sr ", "fao": "fo ", "pan": "pa "} | dict(
    pair.split(":")
    for pair in [
        "deu:ger",
        "nld:dut",
        "swe:sve",
        "ell:gre",
        "isl:ice",
        "zho:chi",
        "sqi:alb",
        "mkd:mac",
        "hye:arm",
        "kat:geo",
        "bod:tib",
        "mya:bur",
        "msa:may",
        "cym:wel",
        "eus:baq",
        "gle:iri",
        "fre:fra",
        "rum:ron",
        "cze:ces",
        "slo:slk",
    ]
)


def decoded(value: str) -> str:
    """A tag as PyAV gives it -> text: bytes that are no UTF-8 are taken for Windows' Latin."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        value = raw.decode("cp1252", "replace")
    return value


def kept(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are as true of the new film as of the old: {name: text}."""
    found = {decoded(name): decoded(value) for name, value in tags.items()}
    return {
        name: value
        for name, value in found.items()
        if name and name.lower() not in _STALE and not name.lower().startswith(_STATISTICS)
    }


def of_film(container: Container) -> dict[str, str]:
    """Return the tags of a film; Ogg has them in its tracks."""
    tags = dict(container.metadata)
    if container.format.name == "ogg":
        for stream in reversed(container.streams):
            tags |= {k: v for k, v in stream.metadata.items() if k.lower() != "language"}
    return kept(tags)


def movflags(tags: Iterable[str]) -> dict[str, str]:
    """Return the options of the muxers of MP4 and MOV, with which they keep all of the tags."""
    flags = "faststart"
    if any(name.lower() not in _ITUNES for name in tags):  # a phone's com.apple.quicktime.make
        flags += "+use_metadata_tags"
    return {"movflags": flags}


def describe(stream: Stream, source: Stream) -> None:
    """Give a track the language, title, and purpose of another: default, comment, forced ..."""
    tags = kept(source.metadata)
    if "name" in tags:  # a title as libavformat reads it from MP4, and does not write it
        tags.setdefault("title", tags["name"])
    if stream.container.format.name == "mov" and tags.get("language") in _QUICKTIME:
        tags["language"] = _QUICKTIME[tags["language"]]
    stream.metadata.update(tags)
    stream.disposition = source.disposition.value  # PyAV 16 and 17.0 take no Disposition


def chapters(container: Container, shift: float) -> list[dict[str, Any]]:
    """Return a film's chapters, `shift` seconds earlier: as PyAV sets them."""
    found = []
    for chapter in container.chapters():
        tick = chapter["time_base"]
        if not tick:
            continue
        start, end = (max(0, chapter[side] - round(shift / tick)) for side in ("start", "end"))
        if start <= end and end:
            tags = kept(chapter["metadata"])
            found.append({**chapter, "start": start, "end": end, "metadata": tags})
    return found
