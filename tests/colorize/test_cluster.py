"""A batch on a cluster: the files of a plain run, each once, although a machine is lost."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import backends
from cic.colorize import cluster, jobs
from cic.colorize.batch import Part, Pictures
from cic.colorize.cluster import BlockPainter, Cluster, Home, Item
from cic.colorize.joblist import Relations
from cic.colorize.task import Report
from cic.commands import colorize
from cic.photos import images
from cic.system import locks
from cic.system.cluster import Actors
from cic.system.errors import FileError, InputError, SettingError
from helpers import ROOT, painter


@pytest.fixture
def paint():
    """A colorizer whose network finds one bin everywhere."""
    return painter.paint()


class Ray:
    """A cluster of three cores."""

    def cluster_resources(self):
        return {"CPU": 3.0}


class Here(Actors):
    """Actors that do all in this process, and have their blocks shown."""

    seen: ClassVar = []
    given_up = ()

    def __init__(self, ray, make, count, cores):
        self.make, self.losses = make, 0

    def each(self, blocks, say):
        call, Here.seen = self.make(), []
        for block in blocks:
            Here.seen.append([item.number for item in block.items])
            lost = any(name in item.job[0] for item in block.items for name in Here.given_up)
            yield replace(block, tries=3), None if lost else call(block.items)


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(cluster, "Actors", Here)
    monkeypatch.setattr(cluster.threads, "limit", lambda count: None)
    monkeypatch.setattr(Here, "given_up", ())
    return Here


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def on_cluster(paint, source, output, pictures=None, said=print, **part):
    listing = jobs.find([str(source)], str(output))
    worker = Cluster(Ray(), lambda: paint, pictures or Pictures(), output=str(output))
    return listing.run(worker, lambda event: said(event.message), Part(**part))


def test_blocks_make_the_files_lines_and_manifest_of_a_plain_run(
    here, paint, photo_folder, tmp_path
):
    (photo_folder / "n01" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    plain = jobs.find([str(photo_folder)], str(tmp_path / "a")).colorize(paint)
    said, manifest = [], tmp_path / "out.jsonl"
    made = on_cluster(paint, photo_folder, tmp_path / "b", said=said.append, manifest=str(manifest))
    assert (len(made.done), made.failed) == (len(plain.done), plain.failed) == (6, 1)
    assert tree(tmp_path / "b") == tree(tmp_path / "a")
    assert here.seen == [[n] for n in range(7)]
    assert sum("broken.jpg" in line for line in said) == 1
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["source"] for line in lines] == [source for source, _ in plain.done.jobs]
    again = on_cluster(paint, photo_folder, tmp_path / "b", skip_existing=True)
    assert (len(again.done), again.done.untouched, again.failed) == (0, 6, 1)


def test_jobs_that_touch_each_others_files_stay_together(here, paint, tmp_path, photo):
    names = ("a.png", "b.gif", "b.png", "c.png", "c-uncertainty.png", "d.png")
    for name in names:
        images.write(tmp_path / "in" / name, photo)
    wanted = Pictures(uncertainty=True)
    said = []
    plain = jobs.find([str(tmp_path / "in")], str(tmp_path / "a")).colorize(
        paint, wanted, progress=lambda event: said.append(event.message)
    )
    made = on_cluster(paint, tmp_path / "in", tmp_path / "b", wanted, said.append)
    assert made.failed == plain.failed == 2
    assert tree(tmp_path / "b") == tree(tmp_path / "a")
    order = [Path(source).name for source, _ in plain.done.jobs]
    assert [[order[n] for n in block] for block in here.seen] == [
        ["b.gif", "b.png", "c-uncertainty.png", "c.png"],
        ["a.png"],
        ["d.png"],
    ]


def test_a_result_that_is_another_source_is_related(tmp_path, photo):
    for name in ("a.png", "b.png", "c.png"):
        images.write(tmp_path / name, photo)
    (tmp_path / "link.png").symlink_to(tmp_path / "b.png")
    found = [(str(tmp_path / s), str(tmp_path / t)) for s, t in (
        ("a.png", "link.png"), ("b.png", "x.png"), ("c.png", "y.png"),
    )]  # fmt: skip
    assert Relations(found).related(lambda target: [target]) == {0, 1}
    assert Relations(found[1:]).related(lambda target: [target]) == set()


def test_a_photo_that_ends_its_process_is_one_line(
    here, paint, photo_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(here, "given_up", ("coffee.JPG",))
    said = []
    made = on_cluster(paint, photo_folder, tmp_path / "out", said=said.append)
    assert (len(made.done), made.failed) == (5, 1)
    [line] = [line for line in said if line.startswith("failed")]
    assert line.endswith("coffee.JPG': each of the 3 processes that coloured it was lost: "
                         "too little memory?")  # fmt: skip


def test_a_process_that_does_not_see_the_same_files_is_refused(tmp_path, monkeypatch):
    folder, lock = tmp_path / "home", tmp_path / "out" / locks.NAME
    folder.mkdir()
    lock.parent.mkdir()
    lock.write_bytes(b"ours")
    monkeypatch.chdir(folder)
    home = Home.of(str(lock.parent))
    assert home == Home(str(folder), str(lock), b"ours")
    home.enter()
    assert Home.of("s3://made/out").lock is None
    monkeypatch.chdir("/")
    home.enter()
    assert os.getcwd() == str(folder)
    with pytest.raises(InputError, match=r"has version .* and not 0.0: install the same"):
        home._replace(version="0.0").enter()
    lock.write_bytes(b"theirs")
    with pytest.raises(FileError, match=r"out: not the same folder on .*: all machines of the"):
        home.enter()
    with pytest.raises(FileError, match="nowhere: not the same folder on"):
        Home(str(tmp_path / "nowhere"), None, b"").enter()


def test_a_film_is_refused_where_it_is_met(paint, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    job = (str(tmp_path / "film.mp4"), str(tmp_path / "out.mp4"))
    made = BlockPainter(paint, Pictures())([Item(7, job, frozenset())])
    [report] = made.reports
    assert isinstance(report, Report)
    assert report.number == 7
    line = f"'{job[0]}': a film is coloured on one machine: leave Ray out"
    assert list(report.errors) == [line]
    assert made.lines == [f"failed: {line}"]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("-", "-o", "-"), "--ray: not through a pipe"),
        (("film.mp4", "-o", "out"), "film.mp4: a film is coloured on one machine: leave out --ray"),
        (("a", "-o", "b", "--share", "0/2"), "--share: not with --ray"),
        (("a", "-o", "b", "--all_pages"), "--all_pages: not with --ray"),
        (("a", "-o", "b", "--hints", "h.json"), "--hints: not with --ray"),
        (("a", "-o", "b", "--device", "gpu:1"), "--device gpu:1: Ray chooses the GPU"),
    ],
)
def test_what_goes_with_one_machine_alone_is_refused(words, refusal):
    with pytest.raises(SettingError, match=f"^{refusal}"):
        colorize.main([*words, "--ray", "local"])


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_no_photo(photo_folder, tmp_path, photo, monkeypatch):
    ray = pytest.importorskip("ray", reason="it has no wheel for this Python")
    from ray.cluster_utils import Cluster as Machines

    for number in range(20):
        images.write(tmp_path / "in" / f"{number:02}.png", np.roll(photo, number, axis=1))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    machines = Machines(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = machines.add_node(**node)
    command = [sys.executable, "-m", "cic", "colorize", "in", "--backend", "onnx", "-o"]
    try:
        more = ["two", "--ray", machines.address, "--manifest", "two.jsonl"]
        run = subprocess.Popen(
            [*command, *more],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while run.poll() is None and len(list((tmp_path / "two").glob("*.png"))) < 5:
            time.sleep(0.05)
        machines.remove_node(second, allow_graceful=False)
        out, err = run.communicate()
    finally:
        machines.shutdown()
    assert run.returncode == 0, err
    assert "two: 20 colorized, 0 failed" in out
    assert "a process of the cluster was lost: " in out
    assert "raylet" not in out + err
    jobs.find([str(tmp_path / "in")], str(tmp_path / "one")).colorize(
        backends.colorizer(backend="onnx")
    )
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert len(tree(tmp_path / "one")) == 20
    lines = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["source"] for line in lines}) == 20
    assert not ray.is_initialized()
