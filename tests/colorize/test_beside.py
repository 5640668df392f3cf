"""Results beside their photos: how they are called, and that they never take a file's place."""

import pytest

from cic.colorize import jobs
from cic.colorize.batch import Part, Pictures
from helpers.painter import paint


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def colorize(*paths, **options):
    said = []
    listing = jobs.find([str(path) for path in paths], None, progress=lambda e: said.append(e))
    outcome = listing.colorize(paint(), progress=lambda event: said.append(event), **options)
    return outcome, [event.message for event in said if event.message]


def test_a_result_stands_beside_its_photo_in_its_format(photo_folder):
    before = tree(photo_folder)
    (photo_folder / "n01" / ".astronaut-colorized.abcdefgh.partial.jpg").write_bytes(b"of a kill")
    outcome, said = colorize(photo_folder / "n02", photo_folder / "n01" / "astronaut.jpg")
    assert (len(outcome.done), outcome.failed, said) == (4, 0, [])
    after = tree(photo_folder)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {
        "n01/astronaut-colorized.jpg",
        "n02/coffee-colorized.JPG",
        "n02/deeper/rocket-colorized.png",
        "n02/small coffee-colorized.png",
    }


def test_no_file_is_replaced(photo_folder):
    taken = photo_folder / "n01" / "chelsea-colorized.jpeg"
    taken.write_bytes(b"mine")
    outcome, said = colorize(photo_folder / "n01")
    assert (len(outcome.done), outcome.failed) == (1, 1)
    assert taken.read_bytes() == b"mine"
    [left, failed] = said
    assert left == "1 photos called ...-colorized are results, and left out"
    assert "chelsea-colorized.jpeg' is there already: skip_existing leaves it" in failed
    outcome, _ = colorize(photo_folder / "n01", part=Part(skip_existing=True))
    assert (len(outcome.done), outcome.failed, outcome.done.untouched) == (0, 0, 2)


@pytest.mark.parametrize("name", ["alternative-2.jpg", "alternatives.jpg", "uncertainty.png"])
def test_nor_is_one_by_a_picture_beside_a_result(photo_folder, name):
    taken = photo_folder / "n01" / f"astronaut-colorized-{name}"
    taken.write_bytes(b"mine")
    outcome, said = colorize(
        photo_folder / "n01" / "astronaut.jpg", pictures=Pictures(alternatives=2, uncertainty=True)
    )
    assert outcome.failed == 1
    assert "is there already" in said[0]
    assert taken.read_bytes() == b"mine"
    assert not (photo_folder / "n01" / "astronaut-colorized.jpg").exists()
