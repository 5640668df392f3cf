"""What a query, an Accept header and the command's flags say."""

import pytest

from cic.commands import serve
from cic.serve import options, tasks
from cic.serve.problems import Problem


@pytest.mark.parametrize(
    ("accept", "ending", "refused"),
    [
        ("", None, ()),
        ("*/*", None, ()),
        ("image/*;q=0.1", None, ()),
        ("image/webp", ".webp", ()),
        ("image/webp,image/png", ".webp", ()),
        ("image/webp;q=0.5,image/png", ".png", ()),
        ("IMAGE/WEBP; Q=0.5 , image/png;q=0.25, text/html", ".webp", ()),
        ("image/avif,image/webp,*/*;q=0.8", ".webp", ()),
        ("image/png;q=0,image/webp;q=0.001", ".webp", ()),
        ("image/png;q=0, */*", None, (".png",)),
        ("image/png;q=0.5, */*;q=0, image/*", None, (".png",)),
    ],
)
def test_accept_is_weighed(accept, ending, refused):
    found = options.colours([], accept)
    assert (found.ending, found.refused) == (ending, refused)


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/png, image/png;q=0.0"])
def test_no_format_that_is_accepted_is_406(accept):
    with pytest.raises(Problem, match="answers are image/jpeg") as caught:
        options.colours([], accept)
    assert caught.value.status == 406


@pytest.mark.parametrize(("text", "sizes"), [("300", (300,)), ("192,256", (192, 256))])
def test_sizes_are_those_of_the_command(text, sizes):
    assert options.colours([("size", text)], "").changes == {"sizes": sizes}


@pytest.mark.parametrize("text", ["300.7", "31", "1025", "64,64", "64,", "1e2", "32,33,34,35,36"])
def test_sizes_that_cannot_be_are_422(text):
    with pytest.raises(Problem, match="size must be") as caught:
        options.colours([("size", text)], "")
    assert caught.value.status == 422


def test_counts_are_whole():
    for wanted in (
        lambda: options.choices([("x", "1"), ("y", "1"), ("count", "2.5")]),
        lambda: options.colours([("alternative", "1.5")], ""),
    ):
        with pytest.raises(Problem, match="must be a whole number from 1 to 20"):
            wanted()


def test_the_flag_of_the_token_has_two_spellings():
    for flag in ("--token_file", "--token-file"):
        assert serve.parser().parse_args([flag, "token"]).token_file == "token"


def test_notes_of_any_text_fit_into_a_header():
    odd = tasks._header("é\r\nSet-Cookie: a; " + "x" * 9999)
    assert odd.startswith(r"\xe9\r\nSet-Cookie: a; xxx")
    assert odd.isascii() and odd.isprintable() and len(odd) < 2100
