"""The processes that colour: what ends one ends one photo, and the next is coloured."""

import asyncio
import io

import pytest
from PIL import Image

from cic.serve.crew import Crew
from cic.serve.problems import RETRY, Problem
from cic.serve.tasks import Question
from cic.system.errors import InputError
from helpers.painter import troubled

pytestmark = pytest.mark.slow


def task(width, height):
    file = io.BytesIO()
    Image.new("L", (width, height), 99).save(file, "png")
    return Question(file.getvalue())


async def status(crew, width, height):
    try:
        await crew.do(task(width, height))
        return 200
    except Problem as problem:
        return problem.status


def run(make, steps, **options):
    crew = Crew(make, **options)
    crew.start()
    try:
        return asyncio.run(steps(crew)), crew
    finally:
        crew.end()


def test_a_process_that_dies_or_hangs_is_replaced():
    async def steps(crew):
        with pytest.raises(Problem) as late:
            await crew.do(task(200, 80))
        assert (late.value.status, late.value.headers) == (503, RETRY)
        sizes = [(90, 80), (80, 200), (90, 80), (200, 80), (90, 80), (300, 80), (90, 80)]
        return [await status(crew, *size) for size in sizes]

    statuses, crew = run(troubled, steps, seconds=2, pixels=10_000_000)
    assert statuses == [200, 500, 200, 503, 200, 413, 200]
    assert crew.replaced == 3  # that of 413 lives on


def test_the_queue_is_bounded_and_the_end_refuses_what_waits():
    async def steps(crew):
        asked = [asyncio.create_task(status(crew, 200, 80)) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert (crew.busy, len(crew.waiting), crew.is_full) == (1, 2, True)
        crew.stop()
        await asyncio.sleep(0)
        assert not crew.is_able
        return [await one for one in asked] + [await status(crew, 90, 80)]

    statuses, crew = run(troubled, steps, queue=2, seconds=1)
    assert statuses == [503, 503, 503, 429, 429, 503]
    assert not any(worker.process.is_alive() for worker in crew.all)


def test_two_processes_work_at_once():
    async def steps(crew):
        slow = asyncio.create_task(status(crew, 200, 80))
        await asyncio.sleep(0.1)
        quick = await status(crew, 90, 80)
        assert not slow.done()
        return quick, await slow

    assert run(troubled, steps, workers=2, seconds=2)[0] == (200, 503)


def broken():
    raise InputError("w.pth: no weights")


def test_weights_that_are_none_are_said_at_the_start():
    with pytest.raises(InputError, match=r"^w\.pth: no weights$"):
        Crew(broken).start()


async def until(is_so):
    for _ in range(600):
        if is_so():
            return
        await asyncio.sleep(0.1)
    raise AssertionError


def test_a_process_that_is_killed_without_a_photo_ends_none():
    async def steps(crew):
        [worker] = crew.all
        worker.process.kill()
        await until(lambda: not worker.process.is_alive())
        first = await status(crew, 90, 80)
        [worker] = crew.all
        worker.process.kill()
        await until(lambda: not worker.process.is_alive())
        crew.watch()  # the server does so ten times a second
        assert not crew.is_able
        await until(lambda: len(crew.idle) == 1)  # without being asked
        assert crew.idle[0].process.is_alive()
        return first, await status(crew, 90, 80)

    statuses, crew = run(troubled, steps)
    assert statuses == (200, 200)
    assert crew.replaced == 2
