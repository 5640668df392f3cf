"""Area under the curve of ab errors: `cic auc` from a clone."""

from cic.commands.auc import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
