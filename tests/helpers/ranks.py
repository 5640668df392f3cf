"""Run a script in two processes that train together, with variables as its launcher sets them.

python tests/helpers/ranks.py torch tools/train.py --image_dir photos
python tests/helpers/ranks.py '[{"SLURM_PROCID": "0"}, {"SLURM_PROCID": "1"}]' tools/train.py

The launchers start an interpreter for each process, which imports the framework: 10 seconds of
processor time a run. Here the two are forks of this process, itself a fork that has it imported
(see started.py). It suits what two processes compute; how they start and end is the launchers'.
"""

import json
import multiprocessing
import os
import runpy
import socket
import sys

SIZE = 2


def execute(command, variables):
    """Do what `python *command` does with these variables."""
    os.environ.update(variables)
    sys.argv, sys.path[0] = command, os.path.dirname(command[0])
    runpy.run_path(command[0], run_name="__main__")


def torch_variables():
    """For each process, as torchrun sets them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(SIZE)}
    shared |= {"LOCAL_WORLD_SIZE": str(SIZE), "TORCHELASTIC_RUN_ID": "none"}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(SIZE)]


def run_with(command, variables):
    """Run the command in a process for each dictionary of variables; whether all went well."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=execute, args=(command, v)) for v in variables]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return not any(process.exitcode for process in processes)


def run_paddle(command):
    """Run the command in processes of Paddle, which sets its variables itself; True, or raise."""
    from paddle import distributed

    distributed.spawn(execute, (command, {}), SIZE, backend="gloo", start_method="fork")
    return True


if __name__ == "__main__":
    how, *command = sys.argv[1:]
    if how == "paddle":
        sys.exit(not run_paddle(command))
    sys.exit(not run_with(command, torch_variables() if how == "torch" else json.loads(how)))
