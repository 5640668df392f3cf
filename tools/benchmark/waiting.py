"""What a person waits for: commands from start to end, idle and beside a busy core."""

import filecmp
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext

import numpy as np
from PIL import Image
from tqdm import tqdm

import backends
from cic.colorize import jobs
from cic.colorize.colorizer import Colorizer
from cic.networks import get
from cic.photos import images, sources
from tools.benchmark.measuring import fresh, megabytes, resident, seconds, share, within
from tools.benchmark.photographs import photograph

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PHOTOS, LEAST, MOST = 40, 0.15, 12  # in an album, of so many megapixels
TINY, EARLY = 2000, 200  # photos of a long folder; after so many its memory is looked at first
STATES = {"idle": nullcontext, "beside a busy core": lambda: spinning()}
# One session, photo after photo, as those who call a network from Python write it.
LOOP = """
import os, sys, backends
from cic.colorize.colorizer import Colorizer
from cic.colorize.settings import of_weights
from cic.photos import images
from cic.weights import reading
backend, source, target = backends.get(sys.argv[1]), *sys.argv[2:]
network, state, meta = reading.load_weights(None)
net = backend.build(network, state)
colorize = Colorizer(network, lambda array: backend.forward(net, array), of_weights(meta))
for name in os.listdir(source):
    images.write(os.path.join(target, name), colorize(images.open_rgb(os.path.join(source, name))))
"""


@contextmanager
def spinning():
    """A context beside a process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def run(*command):
    """Seconds that a Python command takes, from start to end, with no threads asked for."""
    variables = {key: text for key, text in os.environ.items() if key != "OMP_NUM_THREADS"}
    path = os.pathsep.join(filter(None, (ROOT, variables.get("PYTHONPATH"))))
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        env=variables | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def colorizing(folder, backend, *flags, source="in"):
    """Arguments of a command that colorizes the photos of a folder."""
    paths = (os.path.join(folder, source), "-o", os.path.join(folder, f"out-{backend}"))
    return ("-m", "cic", "colorize", *paths, "--backend", backend, *flags)


def medians(repeats, *commands):
    """Median seconds of each of several commands, which take turns."""
    return np.median([[run(*command) for command in commands] for _ in range(repeats)], axis=0)


def write_photo(path, megapixels):
    """Write a real photograph, enlarged to so many megapixels, as a JPEG."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    images.write(path, np.asarray(photograph((round(1.5 * height), height))))


def write_album(folder):
    """Write PHOTOS photographs to `folder`/in, in no order of size."""
    sizes = np.geomspace(LEAST, MOST, PHOTOS)
    for number, megapixels in enumerate(np.random.default_rng(0).permutation(sizes)):
        write_photo(os.path.join(folder, "in", f"{number:02}.jpg"), megapixels)


def photo(repeats, folder):
    """One photo of a megapixel, by each runner beside PyTorch."""
    write_photo(os.path.join(folder, "one.jpg"), 1)
    others = [name for name in backends.available() if name != "torch"]
    rows = []
    for state, beside in STATES.items():
        commands = [colorizing(folder, name, source="one.jpg") for name in ("torch", *others)]
        with beside():
            torch, *times = medians(repeats, *commands)
        for name, time_ in zip(others, times):
            what = f"a photo of 1 megapixel, the command, torch; {name}; {state}"
            rows.append(share(what, torch, time_, 0.4 if name == "onnx" else 1.2))
    return rows


def album(repeats, folder):
    """A folder of photos: the default number of threads, beside one and two."""
    write_album(folder)
    rows = []
    for name in backends.available():
        one, two, default = (
            colorizing(folder, name, *flags)
            for flags in (("--threads", "1"), ("--threads", "2"), ())
        )
        what = f"{PHOTOS} photos of {LEAST} to {MOST} megapixels, {name}"
        first, last = medians(repeats, one, default)
        rows.append(share(f"{what}, one thread; by default; idle", first, last, 0.6))
        with spinning():
            *best, last = medians(repeats, one, two, default)
        best = min(best)
        rows.append(
            share(f"{what}, the best of 1 and 2 threads; by default; busy", best, last, 1.2)
        )
    return rows


def session(repeats, folder):
    """The same folder beside a loop over one session, with the threads that runners come with."""
    write_album(folder)
    os.mkdir(os.path.join(folder, "loop"))
    rows = []
    for name in backends.available():
        loop = ("-c", LOOP, name, os.path.join(folder, "in"), os.path.join(folder, "loop"))
        for state, beside in STATES.items():
            with beside():
                theirs, ours = medians(repeats, loop, colorizing(folder, name))
            what = f"{PHOTOS} photos, {name}, a loop over one session; the command; {state}"
            most = 0.3 if name == "torch" and state != "idle" else 1.0
            rows.append(share(what, theirs, ours, most))
    return rows


def grow(folder):
    """Bytes in memory after EARLY and after all of TINY photos, of a network that costs nothing."""
    network = get("cic", width=0.05)

    def predict(array):
        return np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)

    held = {}

    def note(event):
        held.setdefault(event.done, resident("VmRSS"))

    found = jobs.find([folder], f"{folder}-out", progress=note)
    found.colorize(Colorizer(network, predict), progress=note)
    return held[EARLY], held[TINY - 1]


def memory(repeats, folder):
    """The memory of a process that colours a long folder."""
    source = os.path.join(folder, "tiny")
    os.mkdir(source)
    Image.fromarray(np.asarray(photograph((24, 16)))).save(os.path.join(source, "0.png"))
    for number in range(1, TINY):
        shutil.copy(os.path.join(source, "0.png"), os.path.join(source, f"{number}.png"))
    early, late = fresh(grow, source)
    what = f"memory after {EARLY} photos, and after {TINY}: megabytes more"
    return [within(what, megabytes(early), megabytes(late), (late - early) / 1e6, 2)]


def shares(repeats, folder):
    """Two shares of a folder beside one run: the files that differ."""
    write_album(folder)
    name = backends.available()[-1]
    run(*colorizing(folder, name))
    whole, parts = (os.path.join(folder, name) for name in ("whole", "parts"))
    os.rename(os.path.join(folder, f"out-{name}"), whole)
    for part in ("0/2", "1/2"):
        run(*colorizing(folder, name, "--share", part))
    os.rename(os.path.join(folder, f"out-{name}"), parts)
    names = sorted({*sources.walk(whole), *sources.walk(parts)})
    same, *other = filecmp.cmpfiles(whole, parts, names, shallow=False)
    what = "two shares of a folder, one run: files that differ"
    return [within(what, f"{len(names)} files", f"{len(same)} the same", sum(map(len, other)), 0)]


def clone(repeats, folder):
    """`make demo` from a clean clone, and what it installs; no row if there is no package index."""
    place = os.path.join(folder, "clone")
    subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
    start = time.perf_counter()
    if subprocess.run(["make", "demo"], cwd=place, stdout=subprocess.DEVNULL).returncode:
        tqdm.write("clone: `make demo` failed, and is not measured")
        return []
    elapsed = time.perf_counter() - start
    found = os.walk(os.path.join(place, ".venv-demo"))
    size = sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in found for name in names)
    return [
        within("`make demo` from a clean clone: seconds", "-", seconds(elapsed), elapsed, 60),
        within("what it installs: megabytes", "-", megabytes(size), size / 1e6, 300),
    ]
