"""Accuracy of a classifier on colorized photos: `cic acc` from a clone."""

from cic.commands.acc import main
from cic.system import console

if __name__ == "__main__":
    console.run(main)
