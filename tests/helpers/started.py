"""Run a Python script or module in a process of its own, as a user does, but start it fast.

A fresh interpreter spends 2 to 4 seconds of processor time on the import of a framework. So one
server process imports the packages of others, never this project's own modules, and forks for
each command. The fork has its own arguments, folder, variables, streams and exit status, and is
the command from its first line to the interpreter's end: to a test it differs from
`subprocess.run([sys.executable, ...], capture_output=True, text=True)` in time alone.

It does not fit a test of the start itself, of memory, of signals, of `sys.modules`, or of a
variable that an interpreter or a framework reads when it starts: those start a real process. Some
test of every tool does it, too (`fresh`): a fork would not notice a forgotten import.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

PACKAGES = (
    *("numpy", "PIL.Image", "PIL.ImageCms", "tqdm", "safetensors.numpy", "skimage.color"),
    *("skimage.data", "skimage.metrics", "scipy.ndimage", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "torch"),
)
PADDLE = str(Path(__file__).parents[2] / "backends" / "paddle" / "environment.py")  # imports it


def run(*command, cwd, fresh=False):
    """Run `python *command`, a script or "-m" and a module, and what follows; the finished process.

    Its output is text. If `fresh`, a real process starts, as everywhere but on Linux, where alone
    a fork is safe, and under a coverage tool or a debugger, which a fork would escape.
    """
    command = list(map(str, command))
    if fresh or sys.platform != "linux" or sys.gettrace():
        command = [sys.executable, *command]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if not _servers:
        _servers.append(_Server())
    try:
        return _servers[0].run(command, cwd)
    except BaseException:  # a time-out, too: the next command must not meet this one's answer
        _servers.pop().end()
        raise


def keep_stacks_short():
    """Let Paddle keep a few frames of the stack of each operation that it exports, not all.

    A test's stack is deep: that took half of the time of making a predictor.
    """
    own = traceback.extract_stack
    traceback.extract_stack = lambda f=None, limit=8: own(f or sys._getframe(1), limit)


_servers = []  # of this process: one, from the first command on


class _Server:
    """The process that forks, and the files that its forks write to."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # Paddle reads it at import, see conftest.py
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.end)

    def run(self, command, cwd):
        streams = [str(Path(self.folder.name, name)) for name in ("stdout", "stderr")]
        request = {"command": command, "cwd": str(cwd), "env": dict(os.environ), "to": streams}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        written = [Path(path).read_text(encoding="utf-8") for path in streams]
        return subprocess.CompletedProcess([sys.executable, *command], status, *written)

    def end(self):
        """Kill the server and the command it runs, if any."""
        atexit.unregister(self.end)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.folder.cleanup()


def _serve():
    """Answer the requests on standard input with exit statuses; return in a fork, with its command.

    At the end of the requests the server ends.
    """
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for request in iter(requests.readline, ""):
        pid = os.fork()
        if pid == 0:
            requests.close()
            answers.close()
            return _become(**json.loads(request))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
    sys.exit()


def _become(command, cwd, env, to):
    """Take over the folder, variables and streams of a command, and return it."""
    for number, path in enumerate((os.devnull, *to)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    random.seed()
    sys.modules["numpy"].random.seed()
    return command


def _execute(command):
    """Do what `python *command` does."""
    if command[0] == "-m":
        sys.argv, sys.path[0] = command[1:], os.getcwd()
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = command, os.path.dirname(command[0])
        runpy.run_path(command[0], run_name="__main__")


def _end_as_python_does(command):
    """Execute a command and end the process, without the second that taking the modules down takes.

    What an interpreter does before that is done here, in its order: the exception, the threads,
    `atexit`, the streams.
    """
    status = 0
    try:
        _execute(command)
    except SystemExit as stopped:
        status = 0 if stopped.code is None else stopped.code
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # of a framework that is not installed
        for package in PACKAGES:
            importlib.import_module(package)
    with contextlib.suppress(ImportError):
        runpy.run_path(PADDLE)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cic"]:
        del sys.modules[name]  # this project's, of which that one uses some
    keep_stacks_short()
    gc.collect()
    gc.freeze()  # so that a collection in a fork need not copy all memory
    _end_as_python_does(_serve())
