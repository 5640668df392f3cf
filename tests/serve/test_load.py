"""What `tools/benchmark/serving.py` says of a server, from few photos; no time is held to."""

import sys

import pytest

from cic.system.errors import ProcessError
from tools.benchmark import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def test_clients_wait_and_memory_is_looked_at(server):
    place = serving.Place(server.url, server.process.pid)
    refused, late, own, workers = serving.measured(place, 2, 6, 4)
    assert refused.met
    assert late.figure > 0
    assert late.ours.startswith("median ")
    assert "of the server, 4 photos" in own.what
    assert float(workers.ours.removesuffix(" MB")) > 100
    assert len(serving.measured(serving.Place(server.url, None), 1, 1, 1)) == 2


def test_photos_that_are_sent_away_come_again(server):
    times, refused = serving.send(server.url, 8, 12)  # more than its queue of 4
    assert len(times) == 12
    assert refused > 0


def test_an_answer_that_is_none_ends_it(server):
    with pytest.raises(ProcessError, match="status 422"):
        serving.send(server.url, 1, 1, "?size=1")


def test_a_server_of_its_own_is_started_and_ended():
    with serving.started() as place:
        assert serving.memory(place.process)[1] > 100e6
    with pytest.raises(FileNotFoundError):
        serving.memory(place.process)
