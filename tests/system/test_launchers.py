"""cic.system.launchers: who started a process beside others, by the variables they set."""

import os

import pytest

from cic.system import launchers
from cic.system.errors import SettingError
from cic.system.launchers import Launch

SRUN = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}
SRUN |= {"SLURM_JOB_ID": "77", "SLURM_STEP_NODELIST": "gpu[07-09,12],big1"}
MPIRUN = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "prterun-1"}
MPIRUN |= {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
TORCHRUN = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
PADDLE = {"PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "2"}


@pytest.fixture
def variables(monkeypatch):
    """Set these variables, and no other launcher's."""

    def put(*groups):
        for name in list(os.environ):
            if name.startswith(("SLURM_", "OMPI_", "PMI", "PADDLE_", "MASTER_")) or "RANK" in name:
                monkeypatch.delenv(name)
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        for name, value in {k: v for group in groups for k, v in group.items()}.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), None),
        ((SRUN,), Launch("srun", 3, 8, 1)),
        ((MPIRUN,), Launch("mpirun", 1, 2, 1)),
        ((SRUN, MPIRUN), Launch("mpirun", 1, 2, 1)),  # mpirun in a job of Slurm
        ((SRUN, TORCHRUN), Launch("torchrun", 2, 4, 0)),
        ((SRUN, PADDLE), Launch("paddle.distributed.launch", 1, 2, 0)),
        ((SRUN, {"SLURM_STEP_ID": ""}), None),  # a batch script, not a step
        ((SRUN, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}), None),
    ],
)
def test_who_started_a_process(variables, groups, expected):
    variables(*groups)
    assert launchers.found() == expected


@pytest.mark.parametrize("wrong", [{"RANK": "4"}, {"WORLD_SIZE": "many"}, {"LOCAL_RANK": "-1"}])
def test_variables_that_cannot_be_are_named(variables, wrong):
    variables(TORCHRUN, wrong)
    [(name, text)] = wrong.items()
    with pytest.raises(SettingError, match=f"{name}={text}.*: no process of torchrun"):
        launchers.found()


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("gpu[07-09,12],big1", "gpu07"), ("gpu3,gpu4", "gpu3"), ("n[1,3]-ib", "n1-ib"), ("a", "a")],
)
def test_the_processes_of_srun_meet_at_the_first_machine_at_a_port_of_their_step(
    variables, nodes, host
):
    variables(SRUN, {"SLURM_STEP_NODELIST": nodes})
    found, port = launchers.meeting(launchers.found())
    assert (found, port in range(20000, 30000)) == (host, True)
    variables(SRUN, {"SLURM_STEP_ID": "1"})
    assert launchers.meeting(launchers.found())[1] != port


def test_those_of_mpirun_meet_on_their_machine_or_where_they_are_told(variables):
    variables(MPIRUN)
    assert launchers.meeting(launchers.found())[0] == "127.0.0.1"
    variables(MPIRUN, {"MASTER_ADDR": "gpu3", "MASTER_PORT": "29500"})
    assert launchers.meeting(launchers.found()) == ("gpu3", 29500)


@pytest.mark.parametrize("missing", ["OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"])
def test_a_launch_that_cannot_tell_where_it_meets_names_what_can(variables, missing):
    variables(MPIRUN, {missing: "1"} if "SIZE" in missing else {})
    if "SIZE" not in missing:
        del os.environ[missing]  # put back by `variables`
    with pytest.raises(SettingError, match=r"process 1 of 2, started by mpirun: .* with torchrun"):
        launchers.meeting(launchers.found())
