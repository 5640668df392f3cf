"""Move weights from any known format to any other, safely, and prove it.

python tools/port_weights.py colorization_release_v2-9b330a0b.pth authors.safetensors --verify
python tools/port_weights.py model/epoch_best_model.safetensors for_their_code.pth --to eccv16
python tools/port_weights.py vgg16-397923af.pth vgg16.pdparams
python tools/port_weights.py GrayVGG16_FC_BN_epoch120.pth gray.safetensors --fold --verify

The format of SRC is found from what is in it. DST is written in the format that its ending or --to
names. No code in a file is run, neither framework is needed, and every array is accounted for:
mapped, dropped for a reason that is said, or the file is refused. --verify runs a photo through the
source's own network and through what was written, on every backend that is installed here; if they
differ, nothing is written.
"""

import os
import sys
import textwrap

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
from cic import networks
from cic.system import console, files
from cic.system.errors import Error, InputError
from cic.weights import formats
from cic.weights.formats import verify


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("source", metavar="SRC", help="file of weights")
    add("target", metavar="DST", help="file to write: .safetensors, .pth, .pt, .ckpt, .pdparams")
    add("--to", choices=[f.name for f in formats.FORMATS if f.writes], help="format of DST")
    add("--network", choices=networks.names(), help="refuse weights of any other network")
    add("--group", metavar="NAME", help="which of several networks in SRC to take: state_dict_ema")
    console.add_option(parser)
    add("--fold", action="store_true", help="divide kernels by their spectral norms, for inference")
    add("--verify", action="store_true", help="run a photo through both, and compare")
    return parser.parse_args()


def chosen(args):
    """The Found of the source as the flags want it: of that network, with those options."""
    options = console.options(args.option)
    found = formats.read(args.source, options, args.group)
    network = found.network
    if args.network not in (None, network.name):
        raise InputError(f"{args.source}: weights of {network}, not of {args.network}")
    found = found.of(networks.get(network.name, **network.options | options), args.source)
    return found.folded() if args.fold else found


def introduce(args, found, form):
    """Print what was found, mapped and dropped, and how it was scaled."""
    network, size = found.network, os.path.getsize(args.source)
    say("found", f"{found.form.name}: {found.form.about}, {size / 1e6:.1f} MB")
    say("network", f"{network}, {network.parameter_count:,} parameters")
    decoded = "" if found.temperature is None else f"; decoded at {found.temperature:.4g}"
    say("input", network.input_words() + decoded)
    layers = {ours.rpartition(".")[0]: name for ours, name in found.names.items()}
    pairs = [f"{name.rpartition('.')[0]} -> {ours}" for ours, name in layers.items()]
    same = found.form is formats.NEUTRAL
    say("mapped", f"{len(found.names)} arrays: {'their own names' if same else ', '.join(pairs)}")
    for reason in dict.fromkeys(found.dropped.values()):
        names = [name for name, why in found.dropped.items() if why == reason]
        some = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        say("dropped", f"{some}: {reason}")
    if args.fold:
        say("folded", "its kernels are divided by their spectral norms")
    for name, factor in form.adapted(network)[1].items():
        say("scaled", f"{name} by {factor:g}, for the input that {form.name} has")
    if None not in (form.temperature, found.temperature) and form is not found.form:
        say("note", f"{form.name} decodes at {form.temperature:.4g}, whatever the weights")


def say(word, text):
    print(textwrap.fill(text, 100, initial_indent=f"{word:9}", subsequent_indent=" " * 9))


def runners():
    """{backend: function of (network, state, input)} of those that are installed."""

    def runner(name):
        backend = backends.get(name)
        return lambda net, state, array: backend.forward(backend.build(net, state), array)

    return {name: runner(name) for name in backends.available()}


def check(source, path):
    """Compare what was read with the file that was written; raises ValueError if they differ."""
    rows = verify.compare(source, formats.read(path), runners())
    print(verify.table(rows))
    if not all(row.passes for row in rows):
        raise Error("not written: what came of it differs from the source")


def main():
    args = parse_arguments()
    files.check(args.target)
    found = chosen(args)
    suffix = os.path.splitext(args.target)[1].lower()
    form = formats.get(args.to) if args.to else formats.suited(suffix, found.network)
    form.check_holds(found.network)
    introduce(args, found, form)
    with files.replacing(args.target) as fresh:
        form.save(fresh, found.network, found.state, found.meta)
        if args.verify:
            check(found, fresh)
    size = os.path.getsize(args.target) / 1e6
    say("wrote", f"{args.target}, {form.name}: {form.about}, {size:.1f} MB")


if __name__ == "__main__":
    console.run(main)
