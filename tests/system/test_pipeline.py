"""Work on several things at once: in order, few ahead, within memory, stopped at once."""

import threading
import time

import pytest

from cic.system.pipeline import AHEAD, Gate, Stopped, ahead, ordered


def test_results_come_in_order_and_few_are_ahead():
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.003 * (number % 3))
        return number

    results = ordered(work, range(60), 3, Gate(1))
    for number, result in enumerate(results):
        assert result == number
        assert max(begun) <= number + AHEAD * 3 + 1
    assert sorted(begun) == list(range(60))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_few_are_ahead_in_order_and_one_worker_needs_no_thread(workers):
    begun, here = [], threading.current_thread()

    def work(number):
        begun.append(number)
        assert (threading.current_thread() is here) == (workers == 1)
        if number == 40:
            raise KeyError(number)
        time.sleep(0.002 * (number % 3))
        return number

    results = ahead(work, range(60), workers)
    for number in range(40):
        assert next(results) == number
        assert len(begun) <= number + AHEAD * workers + 1
    with pytest.raises(KeyError):
        next(results)


def test_several_are_worked_on_at_once():
    both = threading.Barrier(2, timeout=60)
    assert list(ordered(lambda item: both.wait() >= 0, range(4), 2, Gate(1))) == [True] * 4


def test_what_is_alone_is_done_here_after_all_before_it():
    active, here = [], threading.current_thread()

    def work(number):
        active.append(number)
        if number == 5:
            assert threading.current_thread() is here
            assert active == [5]
        time.sleep(0.1 if number == 4 else 0.002)
        active.remove(number)
        return number

    found = list(ordered(work, range(9), 3, Gate(1), lambda number: number == 5))
    assert found == list(range(9))


def test_no_more_is_inside_than_there_is_room_but_for_one_alone():
    gate, inside, most = Gate(10), [], []

    def work(need):
        with gate.entered() as take:
            take(need)
            inside.append(need)
            most.append((sum(inside), len(inside)))
            time.sleep(0.002)
            inside.remove(need)

    list(ordered(work, [4, 4, 4, 4, 25, 4, 4, 9, 9, 1, 1, 1], 4, gate))
    assert all(taken <= 10 or count == 1 for taken, count in most)
    assert max(count for _, count in most) > 1
    assert not gate.taken


def test_who_takes_again_gives_back_what_was_taken_before():
    gate = Gate(10)
    with gate.entered() as take:
        take(8)
        take(9)
        assert gate.taken == 9
    assert not gate.taken


def test_what_an_item_raises_comes_in_its_place_and_stops_the_rest():
    gate, done = Gate(10), []

    def work(number):
        with gate.entered() as take:
            take(1)
            if number == 3:
                raise KeyError(number)
            gate.check()
            done.append(number)
            return number

    seen = []
    with pytest.raises(KeyError):
        for number in ordered(work, range(1000), 2, gate):
            seen.append(number)
    assert seen == [0, 1, 2]
    assert len(done) < 20


def test_who_leaves_early_waits_for_what_has_begun_and_begins_nothing():
    gate, begun, ended = Gate(10), [], []

    def work(number):
        with gate.entered() as take:
            take(10)  # one after the other
            begun.append(number)
            time.sleep(0.05)
            ended.append(number)

    results = ordered(work, range(100), 3, gate)
    next(results)
    results.close()
    assert begun == ended
    assert len(begun) < 6
    with pytest.raises(Stopped), gate.entered() as take:
        take(1)
