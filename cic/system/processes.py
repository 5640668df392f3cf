"""New processes, for `parallel` and the server: they never run the caller's own script."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_starting = threading.Lock()


@contextmanager
def _script_left_out() -> Iterator[None]:
    """A context in which a new process is not told of the script that starts it."""
    prepare = spawn.get_preparation_data

    def without_script(name: str) -> dict[str, Any]:
        data = prepare(name)
        return {key: value for key, value in data.items() if not key.startswith("init_main")}

    with _starting:
        spawn.get_preparation_data = without_script
        try:
            yield
        finally:
            spawn.get_preparation_data = prepare


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _script_left_out():
            return SpawnProcess._Popen(process_obj)


class Context(SpawnContext):
    """The context "spawn" of `multiprocessing`, whose processes do not import the script anew.

    A fork would copy a framework's locks. Plain "spawn" runs the script of a user again in each
    process, unless the script guards against it. Functions that such a process calls must be in a
    module.
    """

    Process = _Process


def is_there(number: int) -> bool:
    """Return whether there is a process of that number here; Windows does not tell."""
    if os.name == "nt":
        return True  # where 0 would be Ctrl-C
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_with_parent() -> None:
    """Let this process end when its parent has, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
