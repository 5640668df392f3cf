"""What a run or a tool wrote down earlier, changed by others: never a defect, never a wait."""

import json
import os
import tarfile

import pytest

from cic.dataset import shrunk
from cic.dataset.targets import read_classes
from cic.photos import shards
from cic.training import curves

DEEP = "[" * 100_000


ENTRY = {"step": 1, "loss": 0.5, "lr": 1e-3, "images_per_second": 3.0}


def test_lines_of_a_log_that_are_none_are_left_out(tmp_path):
    lines = [
        json.dumps(ENTRY),
        DEEP,
        '{"step": ' + "9" * 5000 + "}",
        json.dumps(ENTRY | {"step": 2, "loss": "text", "lr": [1]}),
        json.dumps(ENTRY | {"step": "3"}),
        json.dumps(ENTRY | {"step": True}),
        '{"step": 4, "step": 5, "loss": 1}',
        "\xff\xfe",
        json.dumps(ENTRY | {"step": 6, "loss": float("nan")}),
        json.dumps({"step": 7, "validation_loss": 10**300 * 10**10}),
        "x" * (3 << 20),
        json.dumps({"step": 8, "validation_loss": 2.5}),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="latin1")
    training, validation = curves.read_log(str(tmp_path))
    assert [line["step"] for line in training] == [1, 6]
    assert training[0] == ENTRY
    assert validation == [{"step": 8, "validation_loss": 2.5}]
    curves.draw({"run": (training, validation)}, str(tmp_path / "x.png"), 1)


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_no_record(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for read in (curves.read_log, shrunk.invalid_names, read_classes):
        with pytest.raises(OSError, match=r"not a regular file.*fifo"):
            read(str(path))
    os.mkfifo(tmp_path / "shard-0.failed.json")
    assert shrunk._read_failures(str(tmp_path / "shard-0.tar")) == {}


@pytest.mark.parametrize("line", [DEEP, "[" * 70 + "]" * 70, '{"kind": 1, "kind": 2}', "1" * 9999])
def test_a_report_with_a_hostile_line_is_named(tmp_path, line):
    good = json.dumps({"kind": "ok", "removed": True, "path": "näme.jpg"}, ensure_ascii=False)
    path = tmp_path / "report.jsonl"
    path.write_text(f"{good}\n", encoding="utf-8")
    assert shrunk.invalid_names(path) == {"näme.jpg": None}
    path.write_text(f"{good}\n{line}\n{good}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"report\.jsonl: line 2 is not of such a report"):
        shrunk.invalid_names(path)


def test_the_index_of_a_shard_and_failures_that_are_hostile_are_made_anew(tmp_path):
    shard, names = tmp_path / "a.tar", ["n01/a.jpg", "n01/b.jpg"]
    with tarfile.open(shard, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    for text in (DEEP, "{" * 70, '{"stamp": 1, "stamp": 2}'):
        (tmp_path / "a.tar.index.json").write_text(text)
        assert [member.name for member in shards.members(shard)[0]] == names
        (tmp_path / "a.failed.json").write_text(text)
        assert shrunk._read_failures(str(shard)) == {}
