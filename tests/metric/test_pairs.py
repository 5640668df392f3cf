"""metric.pairs: pairing by path and stem, what is refused by name, resize and crop."""

import numpy as np
import pytest
from PIL import Image

from cic.photos import images
from metric import pairs
from metric.pairs import Cut, Pair


@pytest.fixture
def folders(tmp_path, photos):
    """Two photos and their results, in class folders."""
    for name in ("a/one", "b/two"):
        images.write(tmp_path / "true" / f"{name}.jpg", photos["coffee"][:60, :80])
        images.write(tmp_path / "made" / f"{name}.png", photos["coffee"][:60, :80])
    return tmp_path / "true", tmp_path / "made"


def test_files_are_paired_by_path_and_stem(folders):
    true, made = folders
    assert pairs.find(true, made) == [
        Pair(str(true / f"{name}.jpg"), str(made / f"{name}.png")) for name in ("a/one", "b/two")
    ]


def test_missing_partners_are_named_on_both_sides(folders):
    true, made = folders
    (made / "b" / "two.png").rename(made / "b" / "three.png")
    with pytest.raises(ValueError) as error:
        pairs.find(true, made)
    assert "1 without a photo" in str(error.value)
    assert str(made / "b" / "three.png") in str(error.value)
    assert "1 without a result" in str(error.value)
    assert str(true / "b" / "two.jpg") in str(error.value)
    (made / "b" / "three.png").unlink()
    with pytest.raises(ValueError, match=r"^1 without a result: .*two\.jpg'$"):
        pairs.find(true, made)


def test_many_missing_are_counted_and_a_few_named(folders, photos):
    true, made = folders
    for number in range(9):
        images.write(true / f"{number}.png", photos["coffee"][:9, :9])
    with pytest.raises(
        ValueError, match=r"9 without a result: .*0\.png', .*1\.png', .*2\.png', \.\.\.$"
    ):
        pairs.find(true, made)


@pytest.mark.parametrize("side", [0, 1])
def test_two_of_one_stem_are_named(folders, photos, side):
    images.write(folders[side] / "a" / "one.webp", photos["coffee"][:60, :80])
    with pytest.raises(ValueError, match=r"one\..*' and .*one\..*': two files of one stem"):
        pairs.find(*folders)


def test_nothing_to_pair_is_refused(tmp_path):
    (tmp_path / "true").mkdir()
    with pytest.raises(ValueError, match="true: no photo"):
        pairs.find(tmp_path / "true", tmp_path / "true")
    with pytest.raises(ValueError, match="made: there is no such folder"):
        pairs.find(tmp_path / "true", tmp_path / "made")


def test_a_pair_is_read_and_cut_alike(tmp_path, photos):
    photo = photos["coffee"]
    images.write(tmp_path / "a.png", photo)
    images.write(tmp_path / "b.png", photo[:, ::-1])
    pair = Pair(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert np.array_equal(Cut().read_pair(pair)[0], photo)
    assert np.array_equal(Cut().read_pair(pair)[1], photo[:, ::-1])
    assert Cut(resize=100).read_pair(pair)[0].shape == (100, 150, 3)
    assert Cut(resize=1000).read_pair(pair)[0].shape == photo.shape
    middle = Cut(crop=40).read_pair(pair)[0]
    assert np.array_equal(middle, photo[180:220, 280:320])
    assert Cut(100, 40).read_pair(pair)[1].shape == (40, 40, 3)
    with pytest.raises(images.PhotoError, match=r"a\.png': 150 x 100 is smaller than crop 101"):
        Cut(100, 101).read_pair(pair)


def test_other_sizes_are_named(folders, photos):
    true, made = folders
    images.write(made / "a" / "one.png", photos["coffee"][:50, :80])
    pair = pairs.find(true, made)[0]
    for cut in (Cut(), Cut(crop=20)):
        with pytest.raises(
            images.PhotoError, match=r"one\.png': 80 x 50 beside a photo of 80 x 60"
        ):
            cut.read_pair(pair)


@pytest.mark.parametrize("side", [0, 1])
def test_an_empty_file_is_named(folders, side):
    pair = pairs.find(*folders)[0]
    path = (pair.photo, pair.result)[side]
    open(path, "wb").close()
    with pytest.raises(images.PhotoError, match=r"one\.(jpg|png)"):
        Cut().read_pair(pair)


def test_gray_and_transparent_pictures_are_taken(folders, photos):
    true, made = folders
    Image.fromarray(photos["coffee"][:60, :80, 0]).save(true / "a" / "one.jpg")
    image = Image.fromarray(photos["coffee"][:60, :80])
    image.putalpha(Image.new("L", image.size, 9))
    image.save(made / "a" / "one.png")
    photo, result, transparent = Cut().read_pair(pairs.find(true, made)[0])
    assert np.ptp(photo.astype(int), axis=2).max() == 0
    assert np.array_equal(result, photos["coffee"][:60, :80])
    assert transparent
    assert not Cut().read_pair(pairs.find(true, made)[1])[2]
