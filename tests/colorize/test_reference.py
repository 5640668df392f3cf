"""A coloured key frame is followed through its shot, by what moves, and no further."""

import numpy as np
import pytest
from PIL import Image

import backends
from cic.colorize import film, hints
from cic.colorize.reference import Guide, Reference
from cic.colour.lab import lightness, rgb_to_lab
from cic.photos import images
from helpers import ROOT, films, started

SHOT = 8  # frames


def gray(frame):
    return images.to_rgb(Image.fromarray(frame).convert("L"))


@pytest.fixture(scope="module")
def colorizer():
    return backends.colorizer(size=128)


@pytest.fixture(scope="module")
def shots(photos):
    """Two pans over photographs, in colours, 90 x 160."""
    return [films.pan(photos[name], SHOT, step=3) for name in ("astronaut", "coffee")]


def cells(colorizer, frame):
    return colorizer.true_ab(Image.fromarray(frame)).reshape(-1, 2)


def lights(colorizer, frame):
    return lightness(colorizer.shrunk(gray(frame)))


def asked(guide, colorizer, frame, cut=False):
    return guide(gray(frame), lights(colorizer, frame), cut)


def test_points_go_along_with_what_they_are_on(colorizer, photos):
    """Also those in a flat sky, by which nothing can be told."""
    scene = np.ascontiguousarray(photos["astronaut"][:200, :300])
    scene[:60] = 190
    views = [scene[:128, x : x + 192] for x in (0, 4, 12, 20)]  # of whole cells
    guide = Guide(colorizer, [Reference("a", Image.fromarray(views[0]))])
    for number, view in enumerate(views):
        found, ab = asked(guide, colorizer, view, cut=number == 0)
        apart = np.linalg.norm(cells(colorizer, view)[found] - ab, axis=1)
        assert (apart < 1).mean() > 0.97
    assert len(found) < 0.95 * len(
        asked(Guide(colorizer, guide.references), colorizer, views[0])[0]
    )


def test_a_shot_follows_the_reference_that_it_resembles_until_the_cut(colorizer, shots):
    keys = [Reference(str(n), Image.fromarray(shots[n][0])) for n in (1, 0)]
    guide = Guide(colorizer, keys)
    for shot in shots:
        for number, frame in enumerate(shot):
            found, ab = asked(guide, colorizer, frame, cut=number == 0)
            assert np.linalg.norm(cells(colorizer, frame)[found] - ab, axis=1).mean() < 6
    assert not guide.unused
    few = Guide(colorizer, keys[:1])
    assert asked(few, colorizer, shots[0][0], cut=True) is None
    assert few.unused == keys[:1]
    assert asked(few, colorizer, shots[1][0]) is not None
    assert asked(few, colorizer, shots[0][0], cut=True) is None


def test_what_is_covered_is_not_followed(colorizer, shots):
    frame = shots[1][0]
    guide = Guide(colorizer, [Reference("a", Image.fromarray(frame))])
    wide = lights(colorizer, frame).shape[1] // 4
    before, after = frame, frame.copy()
    after[:, 80:] = np.where(frame[:, 80:] > 127, 0, 255)
    counts = []
    for view in (before, after):
        columns = asked(guide, colorizer, view)[0] % wide
        counts.append([(columns < wide / 2 - 3).sum(), (columns > wide / 2 + 3).sum()])
    assert counts[1][0] > 0.9 * counts[0][0] > 50
    assert counts[1][1] < 0.1 * counts[0][1]
    gone = np.where(frame > 127, 0, 255).astype(np.uint8)
    found, wanted = asked(guide, colorizer, gone)
    assert len(found) < 5
    ab = np.zeros((4, 6, 2), np.float32)
    none = np.zeros(0, int)
    np.testing.assert_array_equal(hints.spread(ab, none, wanted[:0], ab[..., 0]), ab)


def errors(colorizer, shots, references):
    """Mean distance of each frame's ab to the true ones."""
    seen = []
    watch = lambda light, plain, ab, cut: seen.append(ab.reshape(-1, 2))  # noqa: E731
    paint = film.Painter(colorizer, observe=watch, guide=Guide(colorizer, references))
    frames = [frame for shot in shots for frame in shot]
    for frame in frames:
        paint(np.asarray(gray(frame)))
    true = [cells(colorizer, frame) for frame in frames]
    return np.array([np.linalg.norm(one - two, axis=1).mean() for one, two in zip(seen, true)])


def test_colours_are_those_of_the_reference(colorizer, shots):
    without = errors(colorizer, shots, [])
    key = Reference("coffee", Image.fromarray(shots[1][0]))
    followed = errors(colorizer, shots, [key])
    np.testing.assert_array_equal(followed[:SHOT], without[:SHOT])  # of the other shot
    assert followed[SHOT:].mean() < 0.5 * without[SHOT:].mean()
    assert followed[-1] < 0.6 * without[-1]


@pytest.mark.slow
def test_the_command_takes_references(shots, tmp_path):
    frames = [np.asarray(gray(frame)) for shot in shots for frame in shot]
    films.write(tmp_path / "old.mp4", frames, None)
    for name, picture in (("key.png", shots[1][0]), ("other.png", shots[0][0][::-1])):
        images.write(tmp_path / name, np.ascontiguousarray(picture))

    def tool(*flags):
        return started.run(ROOT / "tools" / "colorize.py", *flags, cwd=tmp_path)

    flags = ("old.mp4", "--size", 128)
    run = tool(*flags, "-o", "new.mp4", "--reference", "key.png", "--reference", "other.png")
    assert run.returncode == 0, run.stderr
    assert "other.png: no frame of 'old.mp4' resembles it" in run.stdout
    assert "key.png" not in run.stdout
    assert tool(*flags, "-o", "plain.mp4").returncode == 0
    apart = {}
    for name in ("new", "plain"):
        last = films.read(tmp_path / f"{name}.mp4").frames[-1]
        difference = rgb_to_lab(last) - rgb_to_lab(shots[1][-1])
        apart[name] = np.linalg.norm(difference[..., 1:], axis=-1).mean()
    assert apart["new"] < 0.7 * apart["plain"]
    for flags, message in (
        (("key.png", "--reference", "key.png"), "--reference: there is no film among them"),
        (("old.mp4", "--reference", "old.mp4"), "'old.mp4': "),
    ):
        run = tool(*flags, "-o", "x.mp4")
        assert run.returncode == 1
        assert message in run.stderr
        assert run.stderr.count("\n") == 1
