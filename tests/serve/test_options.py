"""What a query and an Accept header say."""

import pytest

from cic.serve import options
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
