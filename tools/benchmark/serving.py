"""Measure a server under load: how long its clients wait for photos, and whether its memory stays.

python tools/benchmark/serving.py
python tools/benchmark/serving.py --photos 24 --small_photos 100
python tools/benchmark/serving.py --url http://127.0.0.1:8000 --pid 1234

It starts `cic serve --queue 8`, and ends it again, unless --url names one that runs; that one's
memory is measured if --pid names its process. `make bench` measures the same. Needs Linux.
"""

import http.client
import io
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import NamedTuple
from urllib.parse import urlsplit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

import numpy as np
from PIL import Image
from skimage import data

from cic.system import console
from cic.system.errors import ProcessError
from tools.benchmark.measuring import Row, megabytes, resident, seconds, within

CLIENTS, PHOTOS, SMALL = 8, 200, 2000
QUICK = 24, 100  # photos and small ones, to see that it runs
SMALLEST = "?size=32"  # what the network sees of a small one: as many photos as can be
GROWTH = 5  # megabytes that the memory may grow by, from the first half to the end


class Place(NamedTuple):
    """Where a server listens, and the id of its process if it is known."""

    url: str
    process: int | None


@contextmanager
def started():
    """A context of the Place of a server of its own."""
    command = [sys.executable, "-m", "cic", "serve", "--port", "0", "--queue", "8"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        first = process.stdout.readline()
        if not (found := re.match(r"http://\S+", first)):
            raise ProcessError("cic serve does not start; run it to see why")
        yield Place(found[0], process.pid)
    finally:
        process.terminate()
        process.wait()


def jpeg():
    """The bytes of the photo that is sent."""
    file = io.BytesIO()
    cat = np.ascontiguousarray(data.chelsea()[::2, ::2])  # 226 x 150 pixels
    Image.fromarray(cat).convert("L").save(file, "jpeg")
    return file.getvalue()


def post(url, photo, query):
    """Seconds until a photo came back in colour, and how often it was sent away before."""
    start, refused = time.perf_counter(), 0
    while True:
        status, wait = ask(url, photo, query)
        if status == 200:
            return time.perf_counter() - start, refused
        if status != 429:
            raise ProcessError(f"{url}: status {status}")
        refused += 1
        time.sleep(wait)


def ask(url, photo, query):
    """(status, seconds of Retry-After) of one request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    try:
        connection.request("POST", f"/api/colorize{query}", photo)
        answer = connection.getresponse()
        answer.read()
        return answer.status, float(answer.headers.get("Retry-After", 0))
    finally:
        connection.close()


def send(url, clients, photos, query=""):
    """(seconds of each photo, how many were sent away at first) of several clients at once."""
    photo = jpeg()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda _: post(url, photo, query), range(photos)))
    times, refused = zip(*found)
    return times, sum(refused)


def memory(process):
    """(bytes of a server's own process, bytes of all that colour) in memory now."""
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        children = [int(name) for name in file.read().split() if is_worker(name)]
    return resident("VmRSS", process), sum(resident("VmRSS", child) for child in children)


def is_worker(process):
    """Whether a server's child is one that colours."""
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return b"spawn_main" in file.read()


def waits(place, clients, photos):
    """Rows of what clients wait."""
    times, refused = send(place.url, clients, photos)
    median, late = np.percentile(times, (50, 99))
    what = f"{clients} clients, {photos} photos"
    shown = f"median {seconds(median)}, 99th percentile {seconds(late)}"
    return [
        within(f"{what}: sent away at first", "-", f"{photos} coloured", refused, 0),
        Row(f"{what}: seconds, 99th percentile", "-", shown, float(late), " s", "-", None),
    ]


def growth(place, clients, photos):
    """Rows of what a server and its processes take, after half of the photos and after all."""
    held = [memory(place.process)]
    for _ in range(2):
        send(place.url, clients, photos // 2, SMALLEST)
        held.append(memory(place.process))
    rows = []
    for name, (first, half, last) in zip(("the server", "what colours"), zip(*held)):
        what = f"memory of {name}, {photos} photos: megabytes more in the second half"
        shown = f"{megabytes(first)}, then {megabytes(half)}"
        rows.append(within(what, shown, megabytes(last), (last - half) / 1e6, GROWTH))
    return rows


def measured(place, clients, photos, small):
    """All Rows of a server."""
    rows = waits(place, clients, photos)
    return rows + (growth(place, clients, small) if place.process else [])


def serving(repeats, folder):
    """A line of `make bench`: a server of its own."""
    photos, small = QUICK if repeats == 1 else (PHOTOS, SMALL)
    with started() as place:
        return measured(place, CLIENTS, photos, small)


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--url", help="of a server that runs (one is started)")
    add("--pid", type=console.positive, help="id of its process, to measure its memory")
    add("--clients", type=console.positive, default=CLIENTS, help="at once (%(default)s)")
    add("--photos", type=console.positive, default=PHOTOS, help="that are timed (%(default)s)")
    add(
        "--small_photos",
        type=console.positive,
        default=SMALL,
        help="over which the memory is looked at (%(default)s)",
    )
    return parser.parse_args()


def main():
    args = parse_arguments()
    with nullcontext(Place(args.url, args.pid)) if args.url else started() as place:
        for row in measured(place, args.clients, args.photos, args.small_photos):
            print(" | ".join(row.cells()), flush=True)


if __name__ == "__main__":
    console.run(main)
