"""All figures of colorized photos at once: `cic report` from a clone."""

from cic.commands.report import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
