"""The commands of `cic NAME`: a module each, of flags and `main` alone.

Each has `parser()`, which returns its argparse parser, and `main(argv=None)`, which returns the
exit status. None is imported before it is asked for.
"""

GROUPS = {  # what people do: {command: what it does, in a few words}
    "colorize": {
        "colorize": "colour photos, films and folders of both",
        "serve": "a page to colour photos on, and an API",
        "watch": "colour the photos that arrive in a folder",
        "test": "colour a test set: class folders in, class folders out",
    },
    "prepare photos": {
        "invalid": "find gray, toned, small and damaged photos; write a script to remove them",
        "prepare": "shrink photos for training, to folders or tar shards",
        "prior": "count how often each colour occurs",
    },
    "train": {
        "train": "train a network, or go on with a run",
        "plot": "draw the losses of several runs",
    },
    "measure": {
        "evaluate": "colour and measure a folder of photos, several weights side by side",
        "report": "measure pictures that are there: all figures",
        "auc": "measure pictures that are there: the area under the curve of ab errors",
        "acc": "measure pictures that are there: what a classifier recognises",
        "compare": "set two measured runs against each other",
        "frontier": "find the best decoding of weights",
    },
    "move weights": {
        "port": "convert weights from any known format to any other, and prove it",
        "release": "make small weights to hand out of a checkpoint",
    },
}
NAMES = tuple(name for group in GROUPS.values() for name in group)
