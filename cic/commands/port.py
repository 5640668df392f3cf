"""Move weights from any known format to any other, safely, and prove it.

cic port colorization_release_v2-9b330a0b.pth authors.safetensors --verify
cic port model/epoch_best_model.safetensors for_their_code.pth --to eccv16
cic port vgg16-397923af.pth vgg16.pdparams
cic port GrayVGG16_FC_BN_epoch120.pth gray.safetensors --fold --verify
cic port model/epoch_best_model.safetensors model.onnx

The content of SRC tells its format. DST gets the format that its ending or --to names. No code in a
file is run, neither framework is needed, and every array is accounted for: mapped, or dropped with
the reason reported; otherwise the file is refused. --verify runs a photo through the source's own
network and through what was written, on every backend that is installed here; if they differ,
nothing is written.
"""

import argparse
import os
import textwrap
from collections.abc import Sequence

import backends
from cic import networks
from cic.colorize import export
from cic.system import console
from cic.weights import porting
from cic.weights.formats import verify
from cic.weights.porting import Port


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "port")
    add = parser.add_argument
    add("source", metavar="SRC", help="file of weights")
    add(
        "target",
        metavar="DST",
        help="file to write: .safetensors, .onnx, .pth, .pt, .ckpt, .pdparams",
    )
    add("--to", choices=[f.name for f in export.FORMATS if f.writes], help="format of DST")
    add("--network", choices=networks.names(), help="refuse weights of any other network")
    add("--group", metavar="NAME", help="which of several networks in SRC to take: state_dict_ema")
    console.add_option(parser)
    add("--fold", action="store_true", help="divide kernels by their spectral norms, for inference")
    add("--verify", action="store_true", help="run a photo through both, and compare")
    return parser


def introduce(source: str, fold: bool, port: Port) -> None:
    """Print what was found, mapped and dropped, and how it was scaled."""
    found, form = port.found, port.form
    network, size = found.network, os.path.getsize(source)
    say("found", f"{found.form.name}: {found.form.about}, {size / 1e6:.1f} MB")
    say("network", f"{network}, {network.parameter_count:,} parameters")
    text = f"{network.space} less {network.mean}, divided by {network.scale}"
    decoded = "" if found.temperature is None else f"; decoded at {found.temperature:.4g}"
    say("input", text + decoded)
    layers = {ours.rpartition(".")[0]: name for ours, name in found.names.items()}
    pairs = [f"{name.rpartition('.')[0]} -> {ours}" for ours, name in layers.items()]
    same = all(ours == name for ours, name in found.names.items())
    say("mapped", f"{len(found.names)} arrays: {'their own names' if same else ', '.join(pairs)}")
    for reason in dict.fromkeys(found.dropped.values()):
        names = [name for name, why in found.dropped.items() if why == reason]
        some = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        say("dropped", f"{some}: {reason}")
    if fold:
        say("folded", "its kernels are divided by their spectral norms")
    for name, factor in form.adapted(network)[1].items():
        say("scaled", f"{name} by {factor:g}, for the input that {form.name} has")
    if None not in (form.temperature, found.temperature) and form is not found.form:
        say("note", f"{form.name} decodes at {form.temperature:.4g}, whatever the weights")


def say(word: str, text: str) -> None:
    print(textwrap.fill(text, 100, initial_indent=f"{word:9}", subsequent_indent=" " * 9))


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    options = console.options(args.option)
    wanted = {name: getattr(args, name) for name in ("to", "network", "group", "fold")}
    port = Port.of(args.source, args.target, options=options, among=export.FORMATS, **wanted)
    introduce(args.source, args.fold, port)
    installed = [backends.get(name) for name in backends.available()] if args.verify else None
    try:
        rows = port.write(installed)
    except porting.DiffersError as error:
        print(verify.table(error.rows))
        raise
    if args.verify:
        print(verify.table(rows))
    size, form = os.path.getsize(args.target) / 1e6, port.form
    say("wrote", f"{args.target}, {form.name}: {form.about}, {size:.1f} MB")
