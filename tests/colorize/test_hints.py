"""Hints: read within bounds, met where they are, spread to what belongs together."""

import json

import numpy as np
import pytest

import backends
from cic.colorize import hints
from cic.colorize.hints import Hint
from cic.colour import AB
from cic.colour.lab import rgb_to_lab
from cic.photos import images
from cic.system.errors import InputError
from helpers import ROOT, started

RED, GREEN = "#c83232", "#32a032"


def ab_of(color):
    return Hint(0, 0, color).ab


@pytest.fixture
def halves():
    """(ab, light) of gray cells, 24 x 32: dark on the left, light on the right."""
    light = np.full((24, 32), 30, np.float32)
    light[:, 16:] = 80
    return np.zeros((24, 32, 2), np.float32), light


def sides(light, scale=10):
    return light.shape[0] * scale, light.shape[1] * scale


def test_no_hints_change_nothing(halves):
    ab, light = halves
    assert hints.follow(ab, (), sides(light), light) is ab


def test_a_hint_is_met_where_it_is(halves):
    ab, light = halves
    wanted = [Hint(45, 55, RED), Hint(275, 115, GREEN)]
    found = hints.follow(ab, wanted, sides(light), light)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[5, 4], ab_of(RED), atol=1)
    np.testing.assert_allclose(found[11, 27], ab_of(GREEN), atol=1)


def test_the_ab_of_a_hint_are_those_of_its_colour():
    np.testing.assert_array_equal(ab_of("#3a5f9e"), rgb_to_lab(np.uint8([0x3A, 0x5F, 0x9E]))[1:])


def test_a_hint_spreads_more_to_what_is_as_light_than_across_an_edge(halves):
    ab, light = halves
    found = hints.follow(ab, [Hint(155, 115, RED)], sides(light), light)
    strength = np.linalg.norm(found, axis=-1)
    assert strength[11, 14] > strength[11, 2]  # nearer
    assert strength[11, 13] > strength[11, 17] * 1.3  # both two cells away
    assert strength.min() > 0


def test_a_hint_spreads_more_to_what_is_of_its_colour(halves):
    ab, light = halves
    light[:] = 50
    ab[:, 16:] = 30, 30
    strength = hints.follow(ab, [Hint(155, 115, GREEN)], sides(light), light) - ab
    strength = np.linalg.norm(strength, axis=-1)
    assert strength[11, 13] > strength[11, 17] * 1.3


def test_a_hint_that_no_network_would_guess_moves_its_own_thing_alone(halves):
    """The dress becomes blue, the skin beside it keeps its colour."""
    ab, light = halves
    found = hints.follow(ab, [Hint(155, 115, "#2030ff")], sides(light), light)
    moved = np.linalg.norm(found, axis=-1)
    assert moved[11, 15] > 90
    assert moved[:, :16].mean() > 0.5 * moved[11, 15]
    assert moved[:, 16:].max() < 0.2 * moved[11, 15]


def test_where_the_network_is_sure_a_hint_moves_little(halves):
    ab, light = halves
    light[:] = 50
    sure, unsure = np.full((313, 1), -20, np.float32), np.zeros((313, 1), np.float32)
    sure[(AB == 0).all(1)] = 0
    logits = np.where(np.arange(32) < 16, sure, unsure)[:, None].repeat(24, 1)
    pale = "#857575"  # near enough to the gray that it guesses
    moved = hints.follow(ab, [Hint(155, 115, pale)], sides(light), light, logits)
    moved = np.linalg.norm(moved, axis=-1)
    assert moved[11, 18] > 2 * moved[11, 12]
    assert moved[11, 15] == pytest.approx(np.linalg.norm(ab_of(pale)), abs=0.1)


def test_of_two_hints_in_a_cell_the_mean_is_taken(halves):
    ab, light = halves
    found = hints.follow(ab, [Hint(42, 52, RED), Hint(48, 58, GREEN)], sides(light), light)
    np.testing.assert_allclose(found[5, 4], (ab_of(RED) + ab_of(GREEN)) / 2, atol=1)


def test_a_hint_holds_for_its_radius(halves):
    ab, light = halves
    found = hints.follow(ab, [Hint(45, 55, RED, radius=30)], sides(light), light)
    np.testing.assert_allclose(found[5, 2:7], np.tile(ab_of(RED), (5, 1)), atol=1.5)


def test_many_cells_within_a_radius_are_met_and_take_no_more_of_others(halves, monkeypatch):
    ab, light = halves
    wanted = [Hint(255, 115, GREEN), Hint(75, 115, RED, radius=60)]
    found = hints.follow(ab, wanted, sides(light), light)
    monkeypatch.setattr(hints, "MEASURED", 25)
    fewer = hints.follow(ab, wanted, sides(light), light)
    np.testing.assert_allclose(fewer[11, 2:13], np.tile(ab_of(RED), (11, 1)), atol=1e-4)
    np.testing.assert_allclose(fewer[11, 25], ab_of(GREEN), atol=1e-4)
    assert np.abs(fewer - found).max() < 4
    assert np.linalg.norm(fewer[11, 26] - ab_of(GREEN)) < 8


def test_a_hint_outside_of_the_photo_is_refused(halves):
    ab, light = halves
    with pytest.raises(hints.Outside, match=r"hint 2: \(320, 10\) lies outside .* 320 x 240"):
        hints.follow(ab, [Hint(1, 1, RED), Hint(320, 10, RED)], sides(light), light)


@pytest.mark.parametrize("wrong", ["hints.json", [{"x": 1, "y": 1, "color": RED}]])
def test_what_is_no_list_of_hints_is_refused(halves, wrong):
    ab, light = halves
    with pytest.raises(ValueError, match="hints are a list of Hint"):
        hints.follow(ab, wrong, sides(light), light)


def test_a_file_of_hints_is_read(tmp_path):
    path = tmp_path / "hints.json"
    entries = [{"x": 1, "y": 2.5, "color": RED}, {"x": 3, "y": 4, "color": GREEN, "radius": 7}]
    path.write_text(json.dumps(entries))
    assert hints.read(path) == (Hint(1, 2.5, RED), Hint(3, 4, GREEN, 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("{}", "not a list"),
        (json.dumps([{"x": 1, "y": 1, "color": RED}] * 1001), "not a list of up to 1000"),
        ("[1]", 'hint 1 must have "x"'),
        ('[{"x": 1, "y": 2}]', 'hint 1 must have "x"'),
        ('[{"x": 1, "y": 2, "color": "#123456", "size": 3}]', 'hint 1 must have "x"'),
        ('[{"x": 1, "y": 2, "color": "red"}]', "hint 1: color is 'red'"),
        ('[{"x": -1, "y": 2, "color": "#123456"}]', "hint 1: x is -1"),
        ('[{"x": true, "y": 2, "color": "#123456"}]', "hint 1: x is True"),
        ('[{"x": NaN, "y": 2, "color": "#123456"}]', "hint 1: x is nan"),
        ('[{"x": 1, "y": 2, "color": "#123456", "radius": "3"}]', "hint 1: radius is '3'"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_file_of_hints_is_refused_in_one_line(text, message, tmp_path):
    path = tmp_path / "hints.json"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        hints.read(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_choices_are_apart_and_the_most_probable_comes_first():
    logits = np.full(313, -20, np.float32)
    places = [np.flatnonzero((ab == AB).all(1))[0] for ab in ((40, 40), (50, 40), (-40, 30))]
    logits[places] = np.log([0.4, 0.2, 0.4])
    first, second = hints.likely(logits, 50)
    assert first.probability == pytest.approx(0.6, abs=1e-3)
    assert second.probability == pytest.approx(0.4, abs=1e-3)
    np.testing.assert_allclose(ab_of(first.color), (43.3, 40), atol=1)
    np.testing.assert_allclose(ab_of(second.color), (-40, 30), atol=1)


def test_there_are_no_more_choices_than_asked_for():
    found = hints.likely(np.zeros(313, np.float32), 50, 3)
    assert len(found) == 3
    assert sum(choice.probability for choice in found) < 1


@pytest.mark.both
def test_a_colorizer_follows_hints_and_names_the_likely_colours(photo):
    colorize = backends.colorizer(backend="torch")
    plain, hinted = colorize(photo), colorize(photo, hints=[Hint(45, 30, GREEN, radius=12)])
    assert np.abs(rgb_to_lab(plain)[..., 0] - rgb_to_lab(hinted)[..., 0]).mean() < 0.5
    a = rgb_to_lab(hinted)[26:34, 41:49, 1].mean()
    assert a < rgb_to_lab(plain)[26:34, 41:49, 1].mean() - 20
    found = colorize.choices(photo, 45, 30)
    assert 1 <= len(found) <= 6
    assert found == sorted(found, key=lambda choice: -choice.probability)
    light = rgb_to_lab(photo)[30, 45, 0]
    for choice in found:
        shown = rgb_to_lab(np.frombuffer(bytes.fromhex(choice.color[1:]), np.uint8))
        assert abs(shown[0] - light) < 15
    with pytest.raises(hints.Outside, match="outside of the photo"):
        colorize.choices(photo, 91, 0)


@pytest.mark.both
def test_the_backends_follow_hints_alike(photo):
    wanted = [Hint(20, 20, RED), Hint(70, 40, GREEN)]
    one, two = (backends.colorizer(backend=name)(photo, wanted) for name in ("torch", "paddle"))
    assert np.abs(one.astype(int) - two).max() <= 1


def colorize(tmp_path, *flags):
    return started.run(ROOT / "tools" / "colorize.py", *flags, cwd=tmp_path)


@pytest.fixture
def desk(tmp_path, photo):
    images.write(tmp_path / "old.png", photo)
    entries = [{"x": 45, "y": 30, "color": GREEN, "radius": 12}]
    (tmp_path / "hints.json").write_text(json.dumps(entries))
    return tmp_path


def test_the_command_takes_hints(desk, photo):
    run = colorize(desk, "old.png", "-o", "new.png", "--hints", "hints.json")
    assert run.returncode == 0, run.stderr
    wanted = backends.colorizer()(photo, hints.read(desk / "hints.json"))
    np.testing.assert_array_equal(images.read(desk / "new.png"), wanted)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["old.png", "old.png"], "hints are of one photo"),
        (["old.png", "--uncertainty"], "hints: leave out"),
        (["old.png", "--alternatives", "2"], "hints: leave out"),
        (["old.png", "--all_pages"], "leave out all_pages"),
    ],
)
def test_hints_are_of_one_picture_of_one_photo(desk, flags, message):
    run = colorize(desk, *flags, "-o", "out", "--hints", "hints.json")
    assert run.returncode == 2
    assert message in run.stderr


def test_a_hint_outside_of_the_photo_is_named_with_it(desk):
    (desk / "hints.json").write_text(json.dumps([{"x": 91, "y": 1, "color": RED}]))
    run = colorize(desk, "old.png", "-o", "new.png", "--hints", "hints.json")
    assert run.returncode == 1
    assert "failed: 'old.png': hint 1: (91, 1) lies outside of the photo of 91 x 60" in run.stdout
    assert not (desk / "new.png").exists()
