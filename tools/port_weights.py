"""Move weights from any known format to any other: `cic port` from a clone."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cic.commands.port import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
