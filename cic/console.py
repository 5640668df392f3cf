"""What every command does at its ends: flags and help, one line for an error, a status."""

import argparse
import json
import os
import sys

from cic import images


def parser(description):
    """ArgumentParser that shows a tool's docstring as it is."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def positive(text):
    """argparse type: an integer from 1 on."""
    return _from(1, text)


def natural(text):
    """argparse type: an integer from 0 on."""
    return _from(0, text)


def seed(text):
    """argparse type: an integer from 0 to 2^64 - 1, as seeding.random_for takes it."""
    number = natural(text)
    if number >= 2**64:
        raise argparse.ArgumentTypeError(f"{text} is above 2^64 - 1")
    return number


def temperature(text):
    """argparse type: a number from 0.01 to 100."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0.01 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.01 to 100")
    return number


def add_num_workers(parser):
    """The flag with which tools that read many photos choose their number of processes."""
    parser.add_argument(
        "--num_workers",
        type=natural,
        default=os.cpu_count(),
        help="processes that read photos; 0: only this one (%(default)s)",
    )


def add_max_pixels(parser):
    """The flag with which every tool that reads photos raises images.limit_pixels."""
    parser.add_argument(
        "--max_pixels",
        type=positive,
        default=images.pixel_limit(),
        help="most pixels that a photo may have, which also bounds its memory (%(default)s)",
    )


def add_option(parser):
    """The flag with which tools that make a network take its options: see `options`."""
    parser.add_argument(
        "--option", action="append", default=[], help="of the network, KEY=VALUE: width=0.5"
    )


def options(texts):
    """{key: value} of texts KEY=VALUE, the values JSON or a word; raises ValueError for others."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            if value.isalpha():  # space=Lab
                found[key] = value
                continue
            raise ValueError(f"--option {text}: write width=0.5 or extra_relu=true") from None
    return found


def _from(least, text):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


def run(main):
    """Exit with the status that `main()` returns; an expected error is one line and status 1.

    Expected are bad values, files that cannot be used, missing packages, and Ctrl-C (status 130);
    anything else is a defect and keeps its traceback.
    """
    try:
        status = main()
    except KeyboardInterrupt:
        print("stopped by the keyboard", file=sys.stderr)
        status = 130
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)
