"""What a run in training notes of its time."""

import time

import pytest

from cic.training.log import LogSettings


def late(*seconds):
    """Items that come so many seconds late."""
    for number in seconds:
        time.sleep(number)
        yield number


def waiting(path, *seconds):
    settings = LogSettings(str(path / "log.jsonl"), 100, progress=lambda event: None)
    with settings.opened(0, len(seconds)) as log:
        for step, _ in enumerate(log.timed(late(*seconds))):
            time.sleep(0.05)
            log.step(step, 1.0, 1, 1e-3)
        return log.waiting


def test_the_share_that_waits_leaves_out_the_start(tmp_path):
    """The processes that read photos start meanwhile: of that time neither side counts."""
    assert waiting(tmp_path, 1.0, 0.3, 0.3) == pytest.approx(0.6 / 0.7, abs=0.05)


def test_before_a_second_step_nothing_waits(tmp_path):
    assert waiting(tmp_path, 0.1) == 0
