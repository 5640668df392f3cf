"""Show a page to colour photos on, and an API: `cic serve` from a clone."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cic.commands.serve import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
