"""Commands in a fork of a process that has everything imported: to a test, as a real process."""

import signal

import pytest

from helpers import started

SAY = """
import atexit, os, sys, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
print(__name__, sys.argv[1:], os.getcwd() == os.path.realpath(sys.argv[1]), sys.path[0] != "")
print(os.environ["MINE"], sys.stdin.read() == "", sys.stdout.isatty(), "é\\r", file=sys.stderr)
print({name for name in sys.modules if name.split(".")[0] in ("cic", "backends", "metric")})
"""
ENDS = {
    "pass": 0,
    "sys.exit()": 0,
    "sys.exit(7)": 7,
    "sys.exit('a reason')": 1,
    "raise ValueError('a reason')": 1,
    "os.kill(os.getpid(), 9)": -9,
    "os._exit(3)": 3,
}


def both(command, cwd):
    """The command in a fork and in a process of its own."""
    return [started.run(*command, cwd=cwd, fresh=fresh) for fresh in (False, True)]


def test_a_fork_is_as_a_real_process(tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "set in the test")
    (tmp_path / "say.py").write_text(SAY, encoding="utf-8")
    for start in ((tmp_path / "say.py",), ("-m", "say")):
        fork, real = both((*start, str(tmp_path), "--flag", "a b"), tmp_path)
        assert (fork.stdout, fork.stderr) == (real.stdout, real.stderr)
        assert (
            fork.stdout.splitlines()[0] == f"__main__ {[str(tmp_path), '--flag', 'a b']} True True"
        )
        assert fork.stdout.splitlines()[1:] == ["set()", "thread", "at exit"]
        assert fork.stderr.startswith("set in the test True False é")
        assert (fork.args, fork.returncode) == (real.args, 0)
    monkeypatch.delenv("MINE")
    fork, real = both((tmp_path / "say.py", str(tmp_path)), tmp_path)
    assert (fork.returncode, real.returncode) == (1, 1)
    assert "KeyError: 'MINE'" in fork.stderr


@pytest.mark.parametrize(("code", "status"), ENDS.items())
def test_a_fork_ends_as_a_real_process_does(tmp_path, code, status):
    (tmp_path / "end.py").write_text(f"import os, sys\nprint('begun', flush=True)\n{code}\n")
    fork, real = both((tmp_path / "end.py",), tmp_path)
    assert fork.returncode == real.returncode == status
    assert fork.stdout == real.stdout == "begun\n"
    assert ("a reason" in fork.stderr) == ("a reason" in real.stderr) == ("a reason" in code)


class Stopped:
    """Standard output of a server, in the test that a time-out stops there."""

    def readline(self):
        raise KeyboardInterrupt

    def close(self):
        pass


@pytest.mark.slow
def test_after_a_test_that_was_stopped_the_next_command_has_its_own_answer(tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    (tmp_path / "quick.py").write_text("print('quick')")
    assert started.run(tmp_path / "quick.py", cwd=tmp_path).stdout == "quick\n"
    [server] = started._servers
    monkeypatch.setattr(server.process, "stdout", Stopped())
    with pytest.raises(KeyboardInterrupt):
        started.run(tmp_path / "slow.py", cwd=tmp_path)
    assert server.process.returncode == -signal.SIGKILL
    assert started.run(tmp_path / "quick.py", cwd=tmp_path).stdout == "quick\n"
