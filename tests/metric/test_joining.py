"""Figures measured in shares, put together: those of one run, to the last bit."""

import json

import numpy as np
import pytest

import backends
from cic.commands import evaluate
from cic.system.errors import InputError, SettingError
from cic.system.shares import Share, size_of_file
from helpers import undrawn
from metric import evaluating, joining, lending
from metric.evaluating import Study

SAME = ("photos", "figures", "intervals", "less_gray", "heaviest_photo")


@pytest.fixture(scope="module")
def colorizers():
    return {"ours": backends.colorizer(size=32)}


def measured(folder, colorizers, share=None, most=None, seed=0):
    study = Study(str(folder), most, share=share or Share(), seed=seed)
    with undrawn.charts():
        return evaluating.evaluate(study, colorizers, progress=lambda event: None).contents


@pytest.mark.slow
def test_shares_put_together_are_one_run_to_the_last_bit(
    photo_folder, colorizers, tmp_path, capsys
):
    (photo_folder / "n01" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    (photo_folder / "n02" / "b.jpg").write_bytes(b"")
    whole = measured(photo_folder, colorizers)
    paths = []
    for share in (Share(number, 3) for number in range(3)):
        [(name, data)] = measured(photo_folder, colorizers, share).items()
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    assert [path.name for path in paths] == [f"evaluation.{n}-of-3.npz" for n in range(3)]
    command = ["--merge", *map(str, paths[::-1]), "--save_path", str(tmp_path / "all")]
    assert evaluate.main(command) == 1  # two photos were skipped
    found = json.loads((tmp_path / "all" / "evaluation.json").read_text())
    expected = json.loads(whole["evaluation.json"])
    for name in SAME:
        assert found[name] == expected[name]
    assert found["protocol"]["skipped"] == sorted(expected["protocol"]["skipped"])
    assert found["protocol"]["count"] == 6
    text = (tmp_path / "all" / "evaluation.txt").read_text()
    assert text == whole["evaluation.txt"]
    assert text in capsys.readouterr().out
    both = [tmp_path / "one.npz", tmp_path / "all" / "evaluation.npz"]
    both[0].write_bytes(whole["evaluation.npz"])
    one, other = (np.load(path) for path in both)
    assert one.files == other.files
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.slow
def test_what_are_not_all_the_shares_of_one_run_is_refused(photo_folder, colorizers, tmp_path):
    paths = []
    for number in range(2):
        [(name, data)] = measured(photo_folder, colorizers, Share(number, 2)).items()
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_bytes(data)
    whole = tmp_path / "whole.npz"
    whole.write_bytes(measured(photo_folder, colorizers)["evaluation.npz"])
    for given, words in (
        (paths[:1], "shares 0/2: give each of one run's once"),
        ([paths[0], paths[0]], "shares 0/2, 0/2: give each"),
        ([paths[0], str(whole)], "not all of them are of shares"),
    ):
        with pytest.raises(InputError, match=words):
            joining.merge(given)
    other = {"ours": backends.colorizer(size=64)}
    [(_, data)] = measured(photo_folder, other, Share(1, 2)).items()
    (tmp_path / "evaluation.1-of-2.npz").write_bytes(data)
    with pytest.raises(InputError, match="measured differently: rows: measure all shares alike"):
        joining.merge(paths)
    [(_, data)] = measured(photo_folder, colorizers, Share(1, 2), seed=1).items()
    (tmp_path / "evaluation.1-of-2.npz").write_bytes(data)
    with pytest.raises(InputError, match="measured differently: random_ab_seed: measure all"):
        joining.merge(paths)


@pytest.mark.slow
def test_shares_of_different_lists_are_refused(photo_folder, colorizers, tmp_path):
    paths = []
    for number, most in ((0, 5), (1, 4)):
        [(name, data)] = measured(photo_folder, colorizers, Share(number, 2), most).items()
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=r"different lists of photos \(5, 4 photos\)"):
        joining.merge(paths)


@pytest.mark.slow
def test_a_share_says_what_to_do_when_all_are_measured(photo_folder, tmp_path, capsys):
    folder = tmp_path / "my figures"
    where = ["--image_dir", str(photo_folder), "--save_path", str(folder)]
    assert evaluate.main([*where, "--share", "0/2", "--size", "32", "--num_workers", "0"]) == 0
    assert [path.name for path in folder.iterdir()] == ["evaluation.0-of-2.npz"]
    assert capsys.readouterr().out.splitlines()[-1] == (
        "when all 2 shares are measured: cic evaluate "
        f"--merge '{folder}'/evaluation.*-of-2.npz --save_path '{folder}'"
    )


def test_a_list_is_known_by_its_names_and_sizes(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"1")

    def size(name):
        return size_of_file(tmp_path / name)

    known = [joining.all_photos(names, size) for names in (["a", "b"], ["a"], ["a", "c"])]
    (tmp_path / "b").write_bytes(b"12")
    known.append(joining.all_photos(["a", "b"], size))
    assert [one["count"] for one in known] == [2, 1, 2, 2]
    assert len({one["sha256"] for one in known}) == 4


def test_what_needs_all_photos_is_refused_of_a_share(photo_folder, colorizers):
    with pytest.raises(SettingError, match="gallery of a share"):
        Study(str(photo_folder), gallery=2, share=Share(0, 2))
    with pytest.raises(InputError, match="no photo of share 7/9 in there"):
        measured(photo_folder, colorizers, Share(7, 9))
    with pytest.raises(SettingError, match="--size, --share: of no effect on --merge"):
        evaluate.main(["--merge", "a.npz", "--save_path", "x", "--share", "0/2", "--size", "64"])


def test_a_lender_that_cannot_be_read_is_passed_over():
    def problems(paths):
        return ["bad" if path in "cde" else None for path in paths]

    names = list("abcdefg")
    whole = lending.readable(names, range(7), 3, problems)
    assert whole.numbers == [0, 1, 5, 6]
    assert len(whole.problems) == 3
    assert sorted(whole.lenders) == ["a", "b", "f", "g"]
    for own in ([0, 2, 5], [1, 3], [4, 6]):
        part = lending.readable(names, own, 3, problems)
        assert part.lenders == [whole.lenders[whole.numbers.index(i)] for i in part.numbers]
    alone = lending.readable(names, range(7), 3, lambda paths: [p != "b" and "x" for p in paths])
    assert alone.lenders == [None]
