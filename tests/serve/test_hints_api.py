"""Hints and choices as programs ask for them: the bytes are the command's."""

import json
from urllib.parse import quote

import pytest

from cic.colorize import piped
from cic.colorize.alternatives import most_likely
from cic.colorize.hints import Hint
from cic.photos import images
from cic.photos.memory import InMemory
from helpers.served import form

pytestmark = pytest.mark.slow

WANTED = [
    {"x": 40, "y": 30, "color": "#3a5f9e"},
    {"x": 110, "y": 80, "color": "#9e3a5f", "radius": 9},
]
HINTS = [Hint(**one) for one in WANTED]
QUERY = f"?hints={quote(json.dumps(WANTED))}"


def test_hints_of_a_query_and_of_a_form_give_what_the_command_gives(server, colorizer, jpeg):
    wanted = piped.colorize(colorizer, InMemory(jpeg), hints=HINTS).data
    assert wanted != piped.colorize(colorizer, InMemory(jpeg)).data
    assert server.post(jpeg, QUERY)[2] == wanted
    for file in (None, "hints.json"):
        for parts in ((0, 1), (1, 0)):
            both = [("hints", file, json.dumps(WANTED).encode()), ("photo", "old.jpg", jpeg)]
            body, kind = form(*(both[n] for n in parts))
            assert server.post(body, Content_Type=kind)[2] == wanted


def test_hints_change_an_alternative_too(server, colorizer, jpeg):
    logits = colorizer.output(images.open_photo(InMemory(jpeg)).base)
    [_, second] = most_likely(logits, 2, colorizer.settings.decoding)
    tilt = ",".join(map(str, second.tilt))
    wanted = piped.colorize(colorizer, InMemory(jpeg), None, second.tilt, hints=HINTS).data
    assert wanted != piped.colorize(colorizer, InMemory(jpeg), None, second.tilt).data
    assert server.post(jpeg, f"{QUERY}&tilt={tilt}")[2] == wanted


def test_the_choices_of_a_place_are_those_of_python(server, colorizer, jpeg):
    photo = images.open_photo(InMemory(jpeg))
    for query, count in (("?x=40&y=30", 6), ("?x=40&y=30&count=2", 2)):
        status, _, body = server.ask("POST", f"/api/choices{query}", jpeg)
        assert status == 200
        wanted = [one._asdict() for one in colorizer.choices(photo, 40, 30, count)]
        assert json.loads(body) == {"choices": wanted}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("colorize?hints=[", "hints: no JSON"),
        ("colorize?hints={}", "hints: not a list"),
        ('colorize?hints=[{"x":1,"y":1,"color":"red"}]', "hints: hint 1: color is 'red'"),
        ('colorize?hints=[{"x":9999,"y":1,"color":"%23123456"}]', "hint 1: (9999, 1) lies outside"),
        ("choices?x=1", "y is missing"),
        ("choices?x=1&y=-1", "y must be a number from 0"),
        ("choices?x=1&y=1&count=0", "count must be a whole number from 1 to 20"),
        ("choices?x=1&y=9999", "(1, 9999) lies outside"),
        ("choices?x=1&y=1&size=9", "no parameter 'size'; there are x, y, count"),
        ("preview?x=1", "no parameter 'x'; there are none"),
    ],
)
def test_what_cannot_be_is_refused(server, jpeg, path, said):
    escaped = quote(path, safe="?=&[]{}:,%/")
    status, detail = server.problem("POST", f"/api/{escaped}", jpeg)
    assert status == 422
    assert said in detail


def test_hints_come_once_in_bounds_and_for_colours_alone(server, jpeg):
    text = json.dumps(WANTED).encode()
    for path, hints, said in (
        (f"colorize{QUERY}", text, "hints: once"),
        ("choices?x=1&y=1", text, "hints: once"),
        ("colorize", b"[" * 200_001, "hints: more than 200,000 bytes"),
        ("colorize", b"", "hints: no JSON"),
    ):
        body, kind = form(("hints", None, hints), ("photo", "old.jpg", jpeg))
        status, detail = server.problem("POST", f"/api/{path}", body, Content_Type=kind)
        assert status == 422
        assert said in detail
