"""How many threads compute: what the user asks for, else what the machine has left."""

import subprocess
import sys
import time

import pytest

from cic.system import console, groups, threads


@pytest.fixture
def machine(monkeypatch):
    """A machine of eight cores, of which this process may use those named, with such files."""

    def make(files, allowed=range(8)):
        monkeypatch.setattr(threads, "_given", "")
        monkeypatch.setattr(threads, "_allowed", lambda: set(allowed))
        for place in (threads, groups):
            monkeypatch.setattr(place, "lines", lambda path: files.get(path, "").splitlines(True))
        monkeypatch.setattr(threads, "_load", threads._Load())
        for name in threads._BESIDE:
            monkeypatch.delenv(name, raising=False)

    return make


def stat(**busy):
    """/proc/stat of eight cores: ticks of each name's columns."""
    columns = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    lines = ["cpu  " + " ".join("9" * 8)]
    for core in range(8):
        own = busy.get(f"core{core}", {})
        lines.append(f"cpu{core} " + " ".join(str(own.get(name, 0)) for name in columns))
    return "\n".join([*lines, "intr 5"])


@pytest.mark.parametrize(
    ("files", "allowed", "cores"),
    [
        ({}, range(8), 8),
        ({}, (1, 5), 2),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, range(8), 1),
        (
            {"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000\n"},
            range(8),
            3,
        ),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, range(8), 8),
        (
            {
                "/proc/self/cgroup": "3:cpu,cpuacct:/x\n",
                "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000\n",
                "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            range(8),
            2,
        ),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"}, range(8), 8),
        ({"/sys/fs/cgroup/cpu.max": "1000 100000\n"}, range(8), 1),
    ],
)
def test_cores_are_those_of_affinity_and_quota(machine, files, allowed, cores):
    machine(files, allowed)
    assert threads.cores() == threads.total() == cores


def test_processes_of_one_launch_share_the_cores(machine, monkeypatch):
    machine({})
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert threads.cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100")
    assert threads.cores() == 1


@pytest.mark.parametrize(
    ("busy", "allowed", "count"),
    [
        ({}, range(8), 8),
        ({"core1": {"user": 100}, "core2": {"system": 60, "softirq": 30}}, range(8), 6),
        ({"core1": {"user": 20}}, range(8), 8),  # a fifth of a core
        ({"core1": {"nice": 100, "iowait": 50, "idle": 70}}, range(8), 8),  # these give way
        ({"core1": {"user": 100}}, (2, 3), 2),  # where this process does not run
        ({f"core{n}": {"user": 100} for n in range(8)}, range(8), 1),
    ],
)
def test_a_computation_takes_what_others_leave_free(machine, monkeypatch, busy, allowed, count):
    files = {"/proc/stat": stat()}
    machine(files, allowed)
    monkeypatch.setattr(threads.os, "nice", lambda more: 0)
    monkeypatch.setattr(threads.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(threads.os, "times", lambda: (0, 0, 0, 0, 0))
    threads._load.before = (time.monotonic() - 1, 0.0)
    files["/proc/stat"] = stat(**busy)
    assert threads.for_computation() == count
    files["/proc/stat"] = stat()
    assert threads.for_computation() == count  # not looked at again so soon
    with threads.batch_of(4):
        assert threads.for_computation() == max(1, count // 4)
        assert threads.for_network() == 1
    assert threads.for_network() == count
    assert threads.total() == len(allowed)


def test_what_this_process_computes_is_not_taken_for_others(machine, monkeypatch):
    files = {"/proc/stat": stat()}
    machine(files)
    monkeypatch.setattr(threads.os, "nice", lambda more: 0)
    monkeypatch.setattr(threads.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(threads.os, "times", lambda: (1.5, 0.5, 0, 0, 0))
    threads._load.before = (time.monotonic() - 1, 0.0)
    files["/proc/stat"] = stat(core0={"user": 100}, core1={"user": 100}, core2={"user": 100})
    assert threads.for_computation() == 7


@pytest.mark.parametrize(
    ("given", "asked"), [("3", 3), ("3,2", 3), ("", None), ("0", None), ("many", None)]
)
def test_the_variable_wins_and_the_flag_over_it(monkeypatch, given, asked):
    monkeypatch.setattr(threads, "_given", given)
    assert threads.asked() == asked
    if asked:
        assert threads.for_computation() == threads.total() == asked
    parser = console.parser("what it does", "colorize")
    console.add_threads(parser)
    try:
        parser.parse_args(["--threads", "7"])
        assert threads.for_computation() == threads.total() == 7
    finally:
        threads.limit(None)
    with pytest.raises(SystemExit):
        parser.parse_args(["--threads", "0"])


@pytest.mark.slow
def test_beside_a_busy_process_one_thread_fewer_computes():
    """For real: a process that keeps every core but one busy."""
    spin = "while True: pass"
    others = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(threads.cores())]
    try:
        time.sleep(0.3)
        code = "import time; from cic.system import threads; threads._given = ''\n"
        code += "time.sleep(1); print(threads.for_computation())"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert run.stdout == "1\n"
