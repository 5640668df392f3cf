"""Work on many machines by Ray: processes that stay, blocks of work, another try for lost ones.

Ray starts the processes and tells which are gone. This module adds what a long list needs: it gives
each process one block at a time, so that few are under way, and tries blocks again whose process or
machine was lost.
"""

import logging
import os
import re
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from cic.system import interrupts, processes, threads
from cic.system.errors import Error, MissingError, ProcessError, SettingError
from cic.system.text import message_of, shortened

LOCAL, AUTO = "local", "auto"
TRIES = 3  # of a block
PATIENCE = 30.0  # seconds without any process, after which that is said
PAUSE = 0.5  # seconds until a lost process is replaced; twice as long each time it is in vain
STORE = 100_000_000  # bytes that Ray may hold here: names and reports are all that travels
ANSWER = 5.0  # seconds in which a machine must answer
GLANCE = 0.1  # seconds until Ctrl-C is seen
_HOST = re.compile(r"([^:/\s]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})")

Ray: TypeAlias = Any  # the module
Item = TypeVar("Item")


class Cores(NamedTuple):
    """Cores and GPUs that a process of a cluster takes."""

    cpus: int
    gpus: int


def address(text: str) -> str:
    """Return the address that "local", "auto" or "host:port" says; raise SettingError for
    others.
    """
    found = _HOST.fullmatch(text)
    if text not in (LOCAL, AUTO) and not (found and 0 < int(found[2]) < 65536):
        raise SettingError(f"{text}: is no cluster: write local, auto, or host:port of one")
    return text


@contextmanager
def connected(where: str) -> Iterator[Ray]:
    """Ray, connected to the cluster at an `address`, or to one that is started here meanwhile.

    Raises MissingError without Ray, ProcessError if there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # its own words on lost processes
    try:
        import ray  # optional, and slow
    except ImportError:
        raise MissingError("Ray is not installed: pip install ray") from None
    before = signal.getsignal(signal.SIGTERM)
    more: dict[str, Any] = {"num_cpus": threads.total(), "object_store_memory": STORE}
    try:
        _check(where)
        ray.init(
            where,
            logging_level=logging.CRITICAL,
            log_to_driver=False,
            include_dashboard=False,
            **(more if where == LOCAL else {}),
        )
    except (OSError, RuntimeError, ValueError) as error:
        why = shortened(str(error).partition("\n")[0])
        raise ProcessError(
            f"{where}: no cluster of Ray there: {why}: ray start --head starts one; "
            "local does without"
        ) from None
    try:
        with _status_kept(before):
            yield ray
    finally:
        _end_monitor(ray)
        ray.shutdown()


def _end_monitor(ray: Ray) -> None:
    """End what would scale a cluster that was started here.

    Left to Ray, it is waited for a second: it asks those for leave that were ended before.
    """
    with suppress(Exception):  # of Ray's own names, which may change
        for one in ray._private.worker._global_node.all_processes["monitor"]:
            one.process.kill()


@contextmanager
def _status_kept(handler: Any) -> Iterator[None]:
    """SIGTERM ends with its own status: Ray puts another handler, and makes 1 of any status."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        interrupts.stop(number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit:
        if came:
            interrupts.stop(came[0])
        raise
    finally:
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def _check(where: str) -> None:
    """Raise OSError if nobody listens at host:port: Ray itself would wait for a minute."""
    if found := _HOST.fullmatch(where):
        socket.create_connection((found[1].strip("[]"), int(found[2])), ANSWER).close()


def divide_cores(ray: Ray, on_gpus: bool) -> tuple[Cores, int]:
    """Return (Cores of each process, how many): one a core, or one a GPU with its share of the
    cores.
    """
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    if not cpus:
        raise ProcessError("Ray: the cluster has no cores")
    if on_gpus and gpus:
        return Cores(max(1, cpus // gpus), 1), gpus
    return Cores(1, 0), cpus


@dataclass(frozen=True)
class Block(Generic[Item]):
    """Items that one process works on at a time; if `whole`, they must stay together. `tries`
    counts the failed attempts.
    """

    items: tuple[Item, ...]
    whole: bool = False
    tries: int = 0

    def again(self) -> "list[Block[Item]]":
        """Return the blocks to try again after its process was lost: item by item, so that an item
        that ends its process takes no other along.
        """
        parts = [self.items] if self.whole else [(item,) for item in self.items]
        return [Block(part, self.whole, self.tries + 1) for part in parts]


class _Actor:
    """A process of the cluster; `make()` gives what is called with the items of each block."""

    def __init__(self, make: Callable[[], Callable[[tuple[Any, ...]], Any]]) -> None:
        self.make = make

    def ready(self) -> tuple[str, int]:
        """Get ready: (this machine, number of the process)."""
        self.call = self.make()
        return socket.gethostname(), os.getpid()

    def work(self, items: tuple[Any, ...]) -> Any:
        return self.call(items)


class Actors(Generic[Item]):
    """`count` processes of a cluster, each with what `make()` gives there: see `each`.

    A process that is lost is replaced, on whatever machine has room. `losses` counts them.
    """

    def __init__(self, ray: Ray, make: Callable[[], Any], count: int, cores: Cores) -> None:
        self.ray, self.make, self.count = ray, make, count
        self.actor = ray.remote(num_cpus=cores.cpus, num_gpus=cores.gpus)(_Actor)
        self.under_way: dict[Any, tuple[Any, Block[Item] | None]] = {}  # None: it gets ready
        self.idle: list[Any] = []
        self.places: dict[int, tuple[str, int]] = {}  # id of an actor: what `ready` gave
        self.again: deque[Block[Item]] = deque()
        self.vacant, self.due = count, 0.0  # processes to start, and when
        self.losses = self.in_vain = 0
        self.is_told = False

    def each(
        self, blocks: Iterator[Block[Item]], say: Callable[[str], object]
    ) -> Generator[tuple[Block[Item], Any]]:
        """Yield (block, what it gave) as they are done, or (block, None) if TRIES were in vain.

        What a call raises is raised here. Lines go to `say`.
        """
        try:
            while self._hand_out(blocks):
                self._hire()
                for block, result in self._done(say):
                    if result is not None or block.tries == TRIES:
                        yield block, result
                    else:
                        self.again.append(block)
        finally:
            self._end()

    def _hire(self) -> None:
        """Start the processes that are missing, if it is time."""
        while self.vacant and time.monotonic() >= self.due:
            actor = self.actor.remote(self.make)
            self.under_way[actor.ready.remote()] = actor, None
            self.vacant -= 1

    def _hand_out(self, blocks: Iterator[Block[Item]]) -> bool:
        """Give each idle process a block; whether anything is left to wait for."""
        while self.idle:
            block = self.again.popleft() if self.again else next(blocks, None)
            if block is None:
                return self._is_at_work()
            actor = self.idle.pop()
            self.under_way[actor.work.remote(block.items)] = actor, block
        return True

    def _is_at_work(self) -> bool:
        return any(block for _, block in self.under_way.values())

    def _wait(self, say: Callable[[str], object]) -> list[Any]:
        """Return what has ended, as Ray's references, at the latest when there are processes to
        start.
        """
        left = max(0.0, self.due - time.monotonic()) if self.vacant else PATIENCE
        if not self.under_way:
            time.sleep(left)
            return []
        ended: list[Any] = []
        until = time.monotonic() + left
        while not ended:  # in short parts: Ray looks once a second whether Ctrl-C came
            part = min(GLANCE, max(0.0, until - time.monotonic()))
            ended, _ = self.ray.wait(list(self.under_way), timeout=part)
            if part < GLANCE:
                break
        if not (ended or self.vacant or self.is_told or self._is_at_work()):
            say("the cluster has no core that is free: waiting for one")
            self.is_told = True
        return ended

    def _done(self, say: Callable[[str], object]) -> Iterator[tuple[Block[Item], Any]]:
        """Wait; yield (block, result or None if it was lost) of what has ended."""
        for ref in self._wait(say):
            actor, block = self.under_way.pop(ref)
            try:
                result = self.ray.get(ref)
            except self.ray.exceptions.RayTaskError as error:
                self.idle.append(actor)
                raise error.cause if isinstance(error.cause, Error) else error from None
            except self.ray.exceptions.RayError as error:
                yield from self._lost(block, error, say)
            else:
                self.idle.append(actor)
                self.in_vain = 0
                if block:
                    yield block, result
                else:
                    self.places[id(actor)] = result

    def _lost(
        self, block: Block[Item] | None, error: Exception, say: Callable[[str], object]
    ) -> Iterator[tuple[Block[Item], None]]:
        self.losses += 1
        self.in_vain += block is None
        if self.in_vain > self.count + TRIES and not (self.idle or self._is_at_work()):
            why = shortened(message_of(error), 400)
            raise ProcessError(f"Ray: processes of the cluster end before they begin: {why}")
        self.vacant += 1  # not at once: Ray may take a moment to notice what is gone
        self.due = time.monotonic() + PAUSE * 2 ** min(self.in_vain, 5)
        if block:
            say(f"a process of the cluster was lost: {len(block.items)} again")
            yield from ((part, None) for part in block.again())

    def _end(self) -> None:
        """End all processes, and wait until they are gone."""
        for actor in [*self.idle, *(actor for actor, _ in self.under_way.values())]:
            self.ray.kill(actor)
        if self.under_way:
            self.ray.wait(list(self.under_way), num_returns=len(self.under_way), timeout=ANSWER)
            self._wait_until_gone()

    def _wait_until_gone(self) -> None:
        """Wait PAUSE, or until those at work are gone: Ray says so a moment before they are.

        One that has not begun has nothing to leave half-done.
        """
        places = [self.places[id(actor)] for actor, block in self.under_way.values() if block]
        until, here = time.monotonic() + PAUSE, socket.gethostname()
        while time.monotonic() < until:
            if not any(host != here or processes.is_there(number) for host, number in places):
                return
            time.sleep(PAUSE / 50)
