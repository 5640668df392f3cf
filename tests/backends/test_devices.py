"""Which GPU a process takes, by fakes of machines that have some."""

import importlib
import os
from types import SimpleNamespace

import pytest

from cic.system import launchers, provenance
from cic.system.errors import SettingError
from cic.system.launchers import Launch
from cic.training import session

TORCHRUN, SRUN = (Launch(name, 1, 2, 1) for name in ("torchrun", "srun"))


@pytest.mark.parametrize(
    ("launch", "visible", "gpu"), [(TORCHRUN, 2, 1), (TORCHRUN, 8, 1), (SRUN, 2, 1), (SRUN, 1, 0)]
)
def test_a_process_takes_the_gpu_of_its_number_or_the_only_one_it_was_given(launch, visible, gpu):
    assert launchers.own_gpu(launch, launch.local, visible) == gpu


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(
        SettingError, match=r"process 1 of this machine has no GPU .* 1 are visible"
    ):
        launchers.own_gpu(TORCHRUN, 1, 1)


@pytest.fixture
def joined(backend, monkeypatch):
    """Join with so many GPUs visible: (device, what the processes meet over)."""
    module = importlib.import_module(f"backends.{backend.NAME}.distributed")
    monkeypatch.setattr(launchers, "found", lambda: TORCHRUN)
    monkeypatch.setattr(launchers, "meeting", lambda _: ("localhost", 29500))
    for name in ("PADDLE_TRAINERS_NUM", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    over = []

    def join(device, visible):
        if backend.NAME == "torch":
            cuda = module.torch.cuda

            def fake(kind, device_id=None, **_):
                assert (device_id is None) == (kind == "gloo")
                over.append(kind)

            monkeypatch.setattr(module.distributed, "init_process_group", fake)
        else:
            cuda, number = module.paddle.device.cuda, SimpleNamespace(device_id=1)
            monkeypatch.setattr(module.distributed, "ParallelEnv", lambda: number)
            monkeypatch.setattr(module.paddle, "set_device", lambda _: None)
            fake = lambda: over.append(os.environ["PADDLE_DISTRI_BACKEND"])  # noqa: E731
            monkeypatch.setattr(module.distributed, "init_parallel_env", fake)
        monkeypatch.setattr(cuda, "device_count", lambda: visible)
        monkeypatch.setattr(cuda, "set_device", lambda _: None, raising=False)
        native = module.torch.device(device) if backend.NAME == "torch" else device
        return str(module.join(native)), over[-1]

    return join


def test_processes_meet_over_nccl_on_gpus_and_over_gloo_on_the_cpu(joined, backend):
    cuda = {"torch": "cuda", "paddle": "gpu"}[backend.NAME]
    assert joined(f"{cuda}:0", 2) == (f"{cuda}:1", "nccl")
    assert joined("cpu", 2) == ("cpu", "gloo")  # also under a build for GPUs
    with pytest.raises(SettingError, match="no GPU of its own"):
        joined(f"{cuda}:0", 1)


def test_the_number_of_a_gpu_is_refused_where_there_is_one_for_each():
    launchers.refuse_number(None, "gpu:1")
    launchers.refuse_number(TORCHRUN, "gpu")
    with pytest.raises(SettingError, match="device gpu:1: each of the 2 processes"):
        launchers.refuse_number(TORCHRUN, "gpu:1")


@pytest.mark.parametrize(("device", "told"), [("auto", 1), ("cpu", 0)])
def test_a_gpu_that_this_build_does_not_see_is_told(
    backend, photo_folder, tmp_path, monkeypatch, capsys, device, told
):
    monkeypatch.setattr(provenance, "DRIVER", str(photo_folder))
    settings = {"batch_size": 4, "load_size": 64, "crop_size": 56, "options": {"width": 0.125}}
    settings |= {"check": False, "num_workers": 0, "model_path": tmp_path / "m", "max_steps": 1}
    session.train(backend, photo_folder, device=device, **settings)
    assert capsys.readouterr().err.count("this machine has a GPU, but this build of") == told


@pytest.mark.parametrize(("failed", "free"), [(0, 30), (100, 70)])
def test_what_other_processes_took_of_a_gpu_is_not_free(backend, monkeypatch, failed, free):
    """Of 100 bytes this process keeps 40, 10 of them for later; others have 40."""
    if backend.NAME == "torch":
        pytest.skip("PyTorch asks the driver itself")
    module = importlib.import_module("backends.paddle.device")

    def ask(free, whole):
        free._obj.value = 20
        return failed

    driver = SimpleNamespace(cuMemGetInfo_v2=ask)
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: driver)
    monkeypatch.setattr(module.paddle, "set_device", lambda device: None)
    properties = SimpleNamespace(total_memory=100)
    cuda = SimpleNamespace(
        get_device_properties=lambda device: properties,
        memory_allocated=lambda device: 30,
        memory_reserved=lambda device: 40,
    )
    monkeypatch.setattr(module.paddle.device, "cuda", cuda)
    assert module.free_memory("gpu:0") == free
