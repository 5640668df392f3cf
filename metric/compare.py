"""Two measured runs beside each other: `cic compare` from a clone."""

from cic.commands.compare import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
