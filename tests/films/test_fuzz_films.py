"""Films with bytes changed, cut, doubled or zeroed: written whole, or refused in one line."""

import os
import random

import av
import pytest

from cic.films import rewrite
from cic.photos.images import PhotoError
from helpers import films

pytestmark = pytest.mark.slow

SEED = 14
EACH = 12  # of each format
FORMATS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mpeg4", "pcm_s16le"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx-vp9", "libopus"),
    "avi": ("mpeg4", "libmp3lame"),
    "vob": ("mpeg2video", "ac3"),
    "ts": ("libx264", "aac"),
    "wmv": ("msmpeg4v3", "wmav2"),
    "flv": ("libx264", "aac"),
    "mxf": ("mpeg2video", None),
    "ogg": ("libvpx", "libopus"),
}


def mutated(content, draw):
    """Bytes of a file, changed in one to four places, more often near the beginning."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = int(len(content) * draw.random() ** draw.choice((1, 3, 6)))
        length = draw.choice((1, 4, 100, 2000))
        kind = draw.randrange(6)
        if kind == 0:
            content[place : place + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            content[place : place + length] = bytes(min(length, len(content) - place))
        elif kind == 2:
            del content[place : place + length]
        elif kind == 3:
            content[place:place] = draw.randbytes(length)
        elif kind == 4:
            content[place:place] = content[place : place + length]
        else:
            del content[place:]
    return bytes(content)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_changed_film_is_written_whole_or_refused_in_a_line(photos, tmp_path, extension):
    codec, sound = FORMATS[extension]
    frames = films.pan(photos["coffee"], 10, (48, 64))
    whole = films.write(tmp_path / f"whole.{extension}", frames, sound, codec=codec, options={})
    whole, source = whole.read_bytes(), tmp_path / f"a.{extension}"
    draw = random.Random(f"{SEED} {extension}")
    (tmp_path / "out").mkdir()
    done = 0
    for _ in range(EACH):
        source.write_bytes(mutated(whole, draw))
        target = tmp_path / "out" / f"b.{draw.choice(('mp4', 'mkv', 'mov', 'webm'))}"
        deinterlace = draw.random() < 0.2
        try:
            count = rewrite.rewrite(
                str(source), str(target), lambda frame: 255 - frame, deinterlace
            )
        except PhotoError as error:
            assert "\n" not in str(error)
            assert str(error).startswith(f"{str(source)!r}: ")
            assert os.listdir(tmp_path / "out") == []
            continue
        done += 1
        assert os.listdir(tmp_path / "out") == [target.name]
        with av.open(str(target)) as container:
            assert sum(1 for _ in container.decode(video=0)) == count
            assert container.duration < 60 * av.time_base
        target.unlink()
    assert done < EACH  # the changes do reach what is read
