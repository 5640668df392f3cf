"""Which device is taken by itself."""

import importlib

import pytest

from cic.system import launchers


@pytest.mark.parametrize(
    ("gpus", "variables", "expected"),
    [
        (0, {}, "cpu"),
        (1, {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3"}, "0"),
        (4, {}, "0"),
        (4, {"RANK": "7", "WORLD_SIZE": "8", "LOCAL_RANK": "3"}, "3"),
        (4, {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "6"}, "0"),
    ],
)
def test_processes_of_a_launch_take_the_gpus_in_turn(
    backend, gpus, variables, expected, monkeypatch
):
    framework = importlib.import_module(backend.NAME)
    for _, *keys in launchers._VARIABLES:
        for key in keys:
            monkeypatch.delenv(key, raising=False)
    for key, text in variables.items():
        monkeypatch.setenv(key, text)
    if backend.NAME == "torch":
        monkeypatch.setattr(framework.cuda, "device_count", lambda: gpus)
    else:
        monkeypatch.setattr(framework, "is_compiled_with_cuda", lambda: True)
        monkeypatch.setattr(framework.device.cuda, "device_count", lambda: gpus)
    assert str(backend.resolve_device()).rpartition(":")[2] == expected
    if gpus:
        assert str(backend.resolve_device("gpu")).rpartition(":")[2] == "0"
