"""What tools/estimate_prior.py refuses to write, before it reads a photo."""

import pytest

from cic.system import files
from cic.system.errors import FileError
from helpers import ROOT, started

TOOL = ROOT / "tools" / "estimate_prior.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "named"),
    [
        ("e/prior.png", "e/prior.png: the prior is a .npy file"),
        ("prior", "prior: the prior is a .npy file"),
        ("folder.npy", "folder.npy: is a folder"),
        ("pictured.npy", "pictured.png: is a folder"),
        ("file/prior.npy", "/file is not a folder"),
        ("file/deeper/prior.npy", "/file is not a folder"),
        ("photos/chelsea.npy", "photos/chelsea.png: the picture would be among the photos"),
    ],
)
def test_an_output_that_is_no_good_is_refused_before_any_work(
    photo_folder, tmp_path, output, named
):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "pictured.png").mkdir()
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    where = ("--image_dir", "photos", "--num_workers", "0", "--output", output)
    done = started.run(TOOL, *where, cwd=tmp_path)
    assert done.returncode == (2 if "is a .npy file" in named else 1)
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_no_permission_is_named_before_and_a_failure_without_the_temporary_name(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device", "/.x.abcdefgh.partial.npy")

    files.check(tmp_path / "new" / "deeper" / "x.npy")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(FileError, match=r"x\.npy: cannot be written: no permission"):
        files.check(tmp_path / "new" / "x.npy")
    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/x\.npy'"):
        files.replacing(tmp_path / "x.npy").__enter__()
