"""What a film and its tracks say of themselves is in the result, whatever its encoding."""

import av
import pytest

from cic.films import rewrite, tags
from helpers import films

PHONE = {
    "com.apple.quicktime.creationdate": "1999-12-31T23:59:00+0200",
    "com.apple.quicktime.location.ISO6709": "+48.8584+002.2945+035/",
    "com.apple.quicktime.make": "Maker",
    "com.apple.quicktime.model": "Model 12",
    "creation_time": "1999-12-31T21:59:00.000000Z",
    "title": "Été 1999",
    "artist": "Me",
    "comment": "a trip",
    "location": "+48.8584+002.2945/",
}
MADE = {"major_brand", "minor_version", "compatible_brands", "encoder"}
# What each format has a place for: the disposition of the tracks below, as it comes back.
IMPAIRED = av.stream.Disposition.hearing_impaired.value
HEARD = {".mp4": [1, 0, IMPAIRED], ".mkv": [1, 0, IMPAIRED], ".mov": [1, 0, 0], ".webm": [1, 0, 0]}


def keep(frame):
    return frame


def tags_of(path):
    with av.open(str(path)) as container:
        return {k.lower(): v for k, v in container.metadata.items() if k.lower() not in MADE}


@pytest.fixture
def frames(photos):
    return films.pan(photos["coffee"], 4, (48, 64))


@pytest.mark.parametrize("after", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("before", [".mov", ".mp4", ".mkv"])
def test_date_place_and_maker_are_kept(frames, tmp_path, before, after):
    muxing = {} if before == ".mkv" else {"movflags": "use_metadata_tags"}
    source = films.write(tmp_path / f"a{before}", frames, tags=PHONE, muxing=muxing)
    old = tags_of(source)
    assert {k.lower(): v for k, v in PHONE.items()}.items() <= old.items()
    rewrite.rewrite(str(source), str(tmp_path / f"b{after}"), keep)
    assert old.items() <= tags_of(tmp_path / f"b{after}").items()
    if before != ".mkv" and after != ".webm":  # and back
        rewrite.rewrite(str(tmp_path / f"b{after}"), str(tmp_path / f"c{before}"), keep)
        assert old.items() <= tags_of(tmp_path / f"c{before}").items()


def test_plain_tags_are_where_every_player_looks(frames, tmp_path):
    source = films.write(tmp_path / "a.mkv", frames, tags={"artist": "Me"})
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    content = (tmp_path / "b.mp4").read_bytes()
    assert b"mdir" in content  # iTunes' handler
    assert b"\xa9nam" in content
    assert b"\xa9ART" in content


def tracks_of(path):
    with av.open(str(path)) as container:
        return [
            (
                stream.language,
                stream.disposition.value & (1 | IMPAIRED),
                stream.metadata.get("title") or stream.metadata.get("name"),
            )
            for stream in container.streams.audio
        ]


@pytest.mark.parametrize("after", HEARD)
@pytest.mark.parametrize("before", [".mkv", ".mp4"])
def test_language_purpose_and_title_of_tracks_are_kept(frames, tmp_path, before, after):
    with av.open(str(tmp_path / f"a{before}"), "w") as container:
        pictures = container.add_stream("libx264", films.RATE)
        pictures.height, pictures.width = 48, 64
        pictures.metadata["language"] = "fra"
        sounds = [films.add_tone(container, "aac") for _ in range(3)]
        for sound, language, purpose in zip(sounds, ("eng", "deu", "spa"), (1, 0, IMPAIRED)):
            sound.metadata.update(language=language, title=f"In {language}")
            sound.disposition = purpose
        for time, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, "rgb24")
            frame.pts = time
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        for sound in sounds:
            films.write_tone(container, sound, 0.16, 0)
    rewrite.rewrite(str(tmp_path / f"a{before}"), str(tmp_path / f"b{after}"), keep)
    languages = ["eng", "ger" if after == ".mov" else "deu", "spa"]
    titles = ["In eng", "In deu", "In spa"]
    assert tracks_of(tmp_path / f"b{after}") == list(zip(languages, HEARD[after], titles))
    with av.open(str(tmp_path / f"b{after}")) as new:
        assert new.streams.video[0].language == "fra"


def test_statistics_of_the_old_packets_are_not_kept(frames, tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        pictures = container.add_stream("libx264", films.RATE)
        pictures.height, pictures.width = 48, 64
        pictures.metadata.update({"BPS": "9", "NUMBER_OF_BYTES-eng": "9", "DIRECTOR": "Me"})
        for time, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, "rgb24")
            frame.pts = time
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)
    with av.open(str(tmp_path / "b.mkv")) as new:
        tags = new.streams[0].metadata
    assert tags["DIRECTOR"] == "Me"
    assert not {"BPS", "NUMBER_OF_BYTES-eng"} & set(tags)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mov", "a.mkv", "a.flv", "a.webm", "a.nut"])
@pytest.mark.parametrize("after", ["b.mp4", "b.mov", "b.mkv", "b.webm"])
def test_tags_that_are_no_utf8_are_read_as_windows_has_them(frames, tmp_path, name, after):
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    source = films.write(tmp_path / name, frames, None, codec=codec, options={})
    content = source.read_bytes()
    assert b"A film" in content
    source.write_bytes(content.replace(b"A film", b"\xc9t\xe9 \xff\x81"))
    assert rewrite.rewrite(str(source), str(tmp_path / after), keep) == len(frames)
    assert tags_of(tmp_path / after)["title"] == "Été ÿ\N{REPLACEMENT CHARACTER}"


def test_text_of_tags():
    assert tags.decoded("Été") == "Été"
    assert tags.decoded(b"\xc9t\xe9".decode("utf-8", "surrogateescape")) == "Été"


def test_tags_of_ogg_lie_in_its_tracks(frames, tmp_path):
    source = films.write(tmp_path / "a.ogg", frames, None, codec="libvpx", options={})
    assert "title" not in tags_of(source)
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert tags_of(tmp_path / "b.mp4")["title"] == "A film"
