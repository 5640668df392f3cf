"""Find the launcher that started this process beside others, by the variables that launchers
set.
"""

import os
import re
from typing import NamedTuple
from zlib import crc32

from cic.system.errors import SettingError

# Launcher: the variables with a process's number, how many there are, and its number on its
# machine. What runs inside of another comes first: torchrun in a step of Slurm.
_VARIABLES = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("paddle.distributed.launch", "PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM", "PADDLE_LOCAL_RANK"),
    ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
_OF_FRAMEWORKS = ("torchrun", "paddle.distributed.launch")
# What a job's own processes have in common, and other jobs do not.
_JOBS = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")
_PORTS = range(20000, 30000)  # below those that the kernel gives out by itself


class Launch(NamedTuple):
    """Process `rank` of `size` that `name` started; `local` is its number on its machine."""

    name: str
    rank: int
    size: int
    local: int


def found() -> Launch | None:
    """Return the Launch that this process is part of; None if it is alone.

    Raises SettingError for variables that say nothing sensible.
    """
    for name, *keys in _VARIABLES:
        texts = [os.environ.get(key) or None for key in keys]
        if None in texts[:2] or (name == "srun" and not _is_step()):
            continue
        said = ", ".join(f"{key}={text}" for key, text in zip(keys, texts) if text)
        if not all(text.isdecimal() for text in texts if text):
            raise SettingError(f"{said}: no process of {name}: unset them, or start it anew")
        rank, size, local = (int(text or 0) for text in texts)
        if rank >= size:
            raise SettingError(f"{said}: no process of {name}: unset them, or start it anew")
        return Launch(name, rank, size, local) if size > 1 else None
    return None


def local_rank() -> int:
    """Return the number of this process, from 0, among those of its launch on this machine."""
    launch = found()
    return launch.local if launch else 0


def meeting(launch: Launch) -> tuple[str, int]:
    """Return (host, port) where all processes of a launch meet: that of its first process.

    MASTER_ADDR and MASTER_PORT say it, or the variables of a job. Raises SettingError, naming what
    to start it with, if neither do.
    """
    host = os.environ.get("MASTER_ADDR") or _first_host(launch)
    port = os.environ.get("MASTER_PORT", "")
    number = int(port) if port.isdecimal() else _port()
    if not host or number is None:
        raise SettingError(
            f"process {launch.rank} of {launch.size}, started by {launch.name}: it cannot tell "
            "where they meet: set MASTER_ADDR and MASTER_PORT to the first machine and a free "
            "port, or start it with torchrun or python -m paddle.distributed.launch"
        )
    return host, number


def own_gpu(launch: Launch, number: int, visible: int) -> int:
    """Return the number of the GPU of a process: `number`, or the only one that its launcher lets
    it see.

    Raises SettingError if there are fewer `visible` ones, so that two would share one.
    """
    if number < visible:
        return number
    if visible == 1 and launch.name not in _OF_FRAMEWORKS:
        return 0  # srun --gpus-per-task=1
    raise SettingError(
        f"process {number} of this machine has no GPU of its own: {visible} are visible: start "
        f"{visible} processes here, or take device cpu"
    )


def refuse_number(launch: Launch | None, device: str) -> None:
    """Raise SettingError for the number of a GPU where several processes take one each."""
    if launch and ":" in device:
        raise SettingError(
            f"device {device}: each of the {launch.size} processes takes the GPU of its own "
            "number: take device gpu, and CUDA_VISIBLE_DEVICES to choose among them"
        )


def _is_step() -> bool:
    """Return whether srun started this: a batch script has the variables of its first process,
    too.
    """
    return bool(os.environ.get("SLURM_STEP_ID") or os.environ.get("SLURM_STEPID"))


def _first_host(launch: Launch) -> str | None:
    if launch.name == "srun":
        nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "")
        first = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)  # gpu[07-09,12],b
        return "".join(part or "" for part in first.groups()) if first else None
    here = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE")
    return "127.0.0.1" if here == str(launch.size) else None


def _port() -> int | None:
    job = [os.environ[key] for key in _JOBS if key in os.environ]
    return _PORTS[crc32(".".join(job).encode()) % len(_PORTS)] if job else None
