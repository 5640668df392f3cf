"""Blocks that are lost are done again, what ends its process is given up: on a made-up Ray."""

import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from cic.system import cluster
from cic.system.cluster import TRIES, Actors, Block, Cores
from cic.system.errors import InputError, MissingError, ProcessError, SettingError


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Ray:
    """Calls at once what Ray would call elsewhere; `fate(items)` may say that it is lost."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, fate=lambda items: None):
        self.fate, self.killed, self.results, self.waiting = fate, 0, {}, []

    def remote(self, **cores):
        self.cores = cores
        return lambda kind: SimpleNamespace(remote=lambda make: self.started(kind(make)))

    def started(self, actor):
        def call(function, items=None):
            ref = object()
            self.waiting.append(len(self.results))
            try:
                if (error := self.fate(items)) is not None:
                    raise error
                self.results[ref] = function() if items is None else function(items)
            except Exception as error:
                known = isinstance(error, RayError)
                self.results[ref] = error if known else RayTaskError(error)
            return ref

        ready = SimpleNamespace(remote=lambda: call(actor.ready))
        work = SimpleNamespace(remote=lambda items: call(actor.work, items))
        return SimpleNamespace(ready=ready, work=work)

    def wait(self, refs, num_returns=1, timeout=None):
        return refs[:1], refs[1:]

    def get(self, ref):
        result = self.results.pop(ref)
        if isinstance(result, Exception):
            raise result
        return result

    def kill(self, actor):
        self.killed += 1


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(cluster, "PAUSE", 0.0)


def run(ray, blocks, make=lambda: sum, count=2):
    said, crew = [], Actors(ray, make, count, Cores(1, 0))
    return list(crew.each(iter(blocks), said.append)), said, crew


def test_each_block_is_done_once_by_few_processes():
    blocks = [Block((n, n + 1)) for n in range(0, 20, 2)]
    ray = Ray()
    found, said, crew = run(ray, blocks)
    assert sorted(found, key=str) == sorted(((b, sum(b.items)) for b in blocks), key=str)
    assert (ray.cores, ray.killed, said, crew.losses) == ({"num_cpus": 1, "num_gpus": 0}, 2, [], 0)


def test_no_block_is_taken_before_a_process_is_free():
    taken = []
    crew = Actors(Ray(), lambda: sum, 2, Cores(1, 0))
    each = crew.each((taken.append(n) or Block((n,)) for n in range(10**9)), print)
    for _ in range(5):
        next(each)
    assert len(taken) <= 5 + 2
    each.close()
    assert crew.ray.killed == 2


def test_the_end_waits_until_processes_at_work_are_gone(monkeypatch):
    monkeypatch.setattr(cluster, "PAUSE", 30.0)
    alive, slept = [True, True, False], []
    monkeypatch.setattr(cluster.processes, "is_there", lambda number: bool(alive and alive.pop(0)))
    monkeypatch.setattr(cluster.time, "sleep", slept.append)
    each = Actors(Ray(), lambda: sum, 2, Cores(1, 0)).each(map(Block, [(1,), (2,), (3,)]), print)
    next(each)
    each.close()
    assert (alive, len(slept)) == ([], 2)


def test_it_waits_in_parts_that_ctrl_c_can_come_between():
    ray, parts = Ray(), []

    def wait(refs, num_returns=1, timeout=None):
        parts.append(timeout)
        return (refs[:1], refs[1:]) if len(parts) % 4 == 0 else ([], refs)

    ray.wait = wait
    found, said, _ = run(ray, [Block((1, 2)), Block((3,))])
    assert sorted(result for _, result in found) == [3, 3]
    assert said == []
    assert max(parts[:8]) == cluster.GLANCE
    assert len(parts) >= 8


def test_what_scales_a_cluster_is_ended_before_the_others(monkeypatch):
    killed = []
    one = SimpleNamespace(process=SimpleNamespace(kill=lambda: killed.append(1)))
    node = SimpleNamespace(all_processes={"monitor": [one]})
    worker = SimpleNamespace(_global_node=node)
    cluster._end_monitor(SimpleNamespace(_private=SimpleNamespace(worker=worker)))
    assert killed == [1]
    for stranger in (SimpleNamespace(), SimpleNamespace(_private=None)):
        cluster._end_monitor(stranger)


def test_a_lost_block_is_done_again_item_by_item():
    calls = Counter()

    def fate(items):
        calls[items] += 1
        return RayError("gone") if items == (3, 4, 5) else None

    found, said, crew = run(Ray(fate), [Block((1, 2)), Block((3, 4, 5)), Block((6,))])
    assert sorted(result for _, result in found) == [3, 3, 4, 5, 6]
    assert calls[(3, 4, 5)] == calls[(4,)] == 1
    assert said == ["a process of the cluster was lost: 3 again"]
    assert crew.losses == 1


def test_what_ends_its_process_each_time_is_given_up_alone():
    def fate(items):
        return RayError("out of memory") if items and 4 in items else None

    found, _, crew = run(Ray(fate), [Block((1, 2)), Block((3, 4, 5)), Block((6, 7), whole=True)])
    assert sorted(result for _, result in found if result) == [3, 3, 5, 13]
    assert [block for block, result in found if result is None] == [Block((4,), False, TRIES)]
    assert crew.losses == TRIES
    found, _, _ = run(Ray(fate), [Block((4, 5), whole=True)])
    assert found == [(Block((4, 5), True, TRIES), None)]


def test_processes_that_never_begin_end_it_all():
    ray = Ray(lambda items: RayError("No module named 'cic'\nat home"))
    with pytest.raises(ProcessError, match="end before they begin: No module named 'cic'"):
        run(ray, [Block((1,))])

    def make():
        raise InputError("host: has another version")

    with pytest.raises(InputError, match="another version"):
        run(Ray(), [Block((1,))], make)
    ray = Ray()
    with pytest.raises(RayTaskError, match="unsupported operand"):
        run(ray, [Block(("a",))])
    assert ray.killed == 2


def test_a_process_that_is_still_alive_keeps_the_work_going():
    class Slow(Ray):
        is_begun = False

        def wait(self, refs, **more):
            if not self.is_begun:
                self.is_begun = True
                return super().wait(refs, **more)
            lost = [ref for ref in refs if isinstance(self.results[ref], RayError)]
            return super().wait(lost or refs, **more)

    starts = iter([None, *[RayError("its machine is gone")] * 20])
    ray = Slow(lambda items: next(starts, None) if items is None else None)
    found, said, crew = run(ray, [Block((n,)) for n in range(40)])
    assert sorted(result for _, result in found) == list(range(40))
    assert crew.losses == 20
    assert said == []


@pytest.mark.parametrize("text", ["local", "auto", "host:6379", "10.0.0.1:1", "[::1]:6379"])
def test_a_cluster_has_an_address(text):
    assert cluster.address(text) == text


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:65536", "ray://host:1", "a b:1"])
def test_other_addresses_are_refused(text):
    with pytest.raises(SettingError, match="is no cluster: write local, auto, or host:port"):
        cluster.address(text)


def test_no_ray_and_no_cluster_are_one_line(monkeypatch):
    pytest.importorskip("ray", reason="it has no wheel for this Python")
    with (
        pytest.raises(ProcessError, match=r"^127.0.0.1:9: no cluster of Ray there: .*refused"),
        cluster.connected("127.0.0.1:9"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingError, match=r"^Ray is not installed: pip install ray$"),
        cluster.connected("local"),
    ):
        pass


@pytest.mark.parametrize(
    ("there", "on_gpus", "expected"),
    [
        ({"CPU": 7.0}, True, (Cores(1, 0), 7)),
        ({"CPU": 7.0, "GPU": 2.0}, True, (Cores(3, 1), 2)),
        ({"CPU": 1.0, "GPU": 2.0}, True, (Cores(1, 1), 2)),
        ({"CPU": 7.0, "GPU": 2.0}, False, (Cores(1, 0), 7)),
    ],
)
def test_a_process_takes_a_core_or_a_gpu_with_its_share_of_them(there, on_gpus, expected):
    assert (
        cluster.divide_cores(SimpleNamespace(cluster_resources=lambda: there), on_gpus) == expected
    )


def test_a_cluster_without_cores_is_refused():
    with pytest.raises(ProcessError, match="has no cores"):
        cluster.divide_cores(SimpleNamespace(cluster_resources=dict), False)
