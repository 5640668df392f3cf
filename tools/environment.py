"""Make the environment that `make demo` runs in; say what is done, and what mends what fails.

python3 tools/environment.py .venv-demo "onnxruntime>=1.19"
python3 tools/environment.py .venv-demo torch==2.13.0
python3.12 tools/environment.py /tmp/try-cic paddlepaddle==3.3.1

It needs nothing but Python, of whatever version, so that it can say which one to take.
"""

import os
import re
import shutil
import subprocess
import sys

OLDEST = (3, 10)  # as setup.cfg has it
# GB to download, GB on the disk, and how long it takes, with all that each needs: Paddle's is its
# CPU build, Torch's that of PyPI, which on Linux brings CUDA along.
SIZES = {
    "onnxruntime": (0.06, 0.25, "half a minute or so"),
    "paddlepaddle": (0.3, 1.3, "two minutes or so"),
    "torch": (3.0, 8.0, "some minutes"),
}
# Words in what pip or venv says -> what is wrong, and the one command that mends it.
MENDS = (
    (
        ("ensurepip is not available", "No module named venv", "No module named ensurepip"),
        "Python's module venv is missing: sudo apt-get install python3-venv",
    ),
    (("No space left",), "the disk is full: make room, or clone to another disk"),
    (
        ("Permission denied", "Read-only file system"),
        "nothing can be written here: clone to a folder of your own, as with "
        "git clone . ~/cic && cd ~/cic && make demo",
    ),
    (
        (
            "Failed to establish",
            "NameResolutionError",
            "NewConnectionError",
            "ProxyError",
            "ConnectTimeout",
            "ReadTimeout",
            "Network is unreachable",
            "Temporary failure in name",
        ),
        "the network cannot be reached: go online, or name your proxy: "
        "HTTPS_PROXY=http://host:port make demo",
    ),
    (("SSLError", "CERTIFICATE_VERIFY"), "the network's certificate is not known: PIP_CERT=file"),
    (
        ("Python.h", "gcc", "cc1", "clang", "C++ compiler", "Microsoft Visual C++", "cl.exe"),
        "a package must be compiled, and there is no compiler: "
        "sudo apt-get install build-essential python3-dev",
    ),
    (
        ("No matching distribution", "Could not find a version", "not a supported wheel"),
        "there is no build for this Python and system, or no network: take another Python: "
        "make demo PYTHON=python3.12",
    ),
)


def main(folder, framework):
    """Make the environment in `folder`; the exit status."""
    download, disk, time = SIZES[name_of(framework)]
    say(f"installs {framework} and what it needs into {folder}, once:")
    say(f"about {download} GB to download, {disk} GB of disk, {time}")
    problem = obstacle(disk, folder if os.path.isdir(folder) else ".")
    if problem:
        return fail(problem)
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "install"]
    pip += ["--disable-pip-version-check", "--retries", "2", "--prefer-binary", framework, "."]
    steps = (
        (f"an environment in {folder}", [sys.executable, "-m", "venv", folder]),
        (f"{framework} and the rest, by pip", pip),
    )
    for number, (name, command) in enumerate(steps, start=1):
        say(f"{number} of {len(steps)}: {name}")
        done = subprocess.run(command, stderr=subprocess.PIPE)  # pip's bar goes to stdout
        if done.returncode:
            said = done.stderr.decode(errors="backslashreplace")
            sys.stderr.write(said)
            return fail(mend(said))
    return 0


def name_of(framework):
    """The package of a requirement, "torch" of "torch==2.13.0"."""
    return re.match(r"[\w-]*", framework).group()


def obstacle(disk, place="."):
    """What is in the way, and what mends it, if that is known before anything is done."""
    if sys.version_info < OLDEST:
        here, oldest = (".".join(map(str, v)) for v in (sys.version_info[:2], OLDEST))
        return (
            f"Python {here} is too old, {oldest} the oldest that works: make demo PYTHON=python3.12"
        )
    try:
        import ensurepip  # noqa: F401 - Debian leaves both out
        import venv  # noqa: F401
    except ImportError:
        return MENDS[0][1]
    free = shutil.disk_usage(place).free / 1e9
    if free < disk:
        return f"{free:.1f} GB of disk are free in {place}, {disk} are needed: make room"
    return None


def mend(said):
    """What is wrong and what mends it, of what a command said; what to look at if unknown."""
    for words, advice in MENDS:
        if any(word in said for word in words):
            return advice
    return "the last lines above say why; once that is mended: make demo"


def say(line):
    print(line)
    sys.stdout.flush()  # before what is started prints


def fail(line):
    sys.stderr.write(f"error: {line}\n")
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 3 or name_of(sys.argv[2]) not in SIZES:
        print(f"{__doc__.strip()}\n\nusage: environment.py FOLDER FRAMEWORK==VERSION")
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    sys.exit(main(*sys.argv[1:]))
