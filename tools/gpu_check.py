"""Check that training works on this GPU: that it is right, fed and survives. Minutes a backend.

python tools/gpu_check.py --output gpu.json
python tools/gpu_check.py --backend torch logits steps
python tools/gpu_check.py --backend torch --device cpu

Prints a table, and writes it to --output as JSON; please send us both. Exit status 0 if all
held, 1 if something did not, 2 if there is no GPU. With --device cpu the same lines run small.
"""

import json
import os
import platform
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
import cic
from cic.system import console
from cic.system.errors import MissingError, SettingError
from cic.system.files import replacing
from tools.checks import agreement, speed, survival, together
from tools.checks.setting import Line, Setting

CHECKS = (
    agreement.logits, agreement.targets, agreement.steps, agreement.precisions, agreement.layers,
    speed.step, speed.waits, speed.run,
    survival.resume, survival.empty, survival.signals, survival.memory,
    together.together, together.scaling,
)  # fmt: skip
LINES = {function.__name__: function for function in CHECKS}  # Setting -> lines
ON = {True: "on", False: "off"}
VERDICTS = {True: "held", False: "FAILED", None: ""}


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"what to check, of {', '.join(LINES)} (all)")
    trains = backends.names(trains=True)
    add("--backend", choices=trains, help="a framework (all that are installed)")
    add("--device", default="gpu", help="gpu, gpu:1, or cpu for a small run (%(default)s)")
    add("--output", metavar="FILE", help="file for the table, JSON")
    return parser.parse_args()


def native(backend):
    """The module of tools.checks that asks a framework itself."""
    if backend.NAME == "torch":
        from tools.checks import on_torch as module
    else:
        from tools.checks import on_paddle as module
    return module


def facts(setting):
    """{what: value} of the machine, the build and the GPU."""
    found = {"cic": cic.__version__, "Python": platform.python_version()}
    found |= {"system": platform.platform()} | setting.native.facts(setting.device)
    return found | {"TF32": tf32(setting)}


def tf32(setting):
    """Whether the framework says, after a step in each precision, that float32 is TF32."""
    found = []
    for precision in ("float32", "tf32"):
        try:
            setting.trainer(setting.recipe(2), precision).step(setting.batch(2), 0.0)
        except SettingError:  # the device has none
            continue
        except Exception as error:  # the lines say what does not train here
            found.append(f"in {precision} {type(error).__name__}")
            continue
        products, convolutions = map(ON.get, setting.native.tf32())
        found.append(f"in {precision} products {products}, convolutions {convolutions}")
    return "; ".join(found)


def checked(name, setting):
    """Lines of one check; one that raises has failed."""
    start = time.monotonic()
    lines = []
    try:
        for line in LINES[name](setting):
            lines.append(line)
            show(line)
    except Exception as error:  # one defect must not hide what the other lines say
        lines.append(Line(name, f"{type(error).__name__}: {error}", "no error", False))
        show(lines[-1])
    print(f"  {name}: {time.monotonic() - start:.0f} s")
    return lines


def show(line):
    limit = f"  ({line.limit})" if line.limit else ""
    print(f"{VERDICTS[line.held]:6}  {line.what}: {line.found}{limit}", flush=True)


def check(name, device, wanted):
    """{"facts": ..., "lines": [...]} of a backend."""
    backend = backends.get(name, trains=True)
    with tempfile.TemporaryDirectory() as folder:
        resolved = str(backend.resolve_device(device))
        setting = Setting(backend, native(backend), resolved, resolved == "cpu", folder)
        found = facts(setting)
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}")
        lines = [line for each in wanted for line in checked(each, setting)]
    return {"facts": found, "lines": [line._asdict() for line in lines]}


def main():
    args = parse_arguments()
    if unknown := set(args.names) - set(LINES):
        raise SettingError(f"nothing is called {unknown.pop()!r}; there are {', '.join(LINES)}")
    names = [args.backend] if args.backend else backends.available(trains=True)
    if not names:
        raise MissingError("no framework here: pip install torch, or paddlepaddle")
    found, missing = {}, []
    for name in names:
        try:
            backends.get(name, trains=True).resolve_device(args.device)
        except SettingError as error:
            print(f"{name}: not run: no GPU: {error}")
            missing.append(name)
            continue
        found[name] = check(name, args.device, args.names or list(LINES))
    if args.output:
        with replacing(args.output) as path, open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    held = [line["held"] for each in found.values() for line in each["lines"]]
    print(f"{held.count(True)} held, {held.count(False)} failed")
    return 1 if False in held else 2 if missing else 0


if __name__ == "__main__":
    console.run(main)
