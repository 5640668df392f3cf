"""What every command does at its ends: flags and help, one line for an error, a status."""

import argparse
import sys


def parser(description):
    """ArgumentParser that shows a tool's docstring as it is."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_backend_flags(parser):
    """The flags with which every tool that runs a network lets the user choose where."""
    parser.add_argument(
        "--backend", choices=["torch", "paddle"], help="framework (the first that is installed)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, gpu:1 (%(default)s)")


def run(main):
    """Exit with the status that `main()` returns; an expected error is one line and status 1.

    Expected are bad input, a missing file or package, and Ctrl-C (status 130); anything else is a
    defect and keeps its traceback.
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
