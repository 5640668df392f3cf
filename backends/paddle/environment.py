"""What Paddle reads from the environment when it is imported, set before that, never overruled."""

import io
import os
import warnings
from contextlib import redirect_stderr

from cic.system import threads


def _on_amd() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:
        return False


# Training takes this many threads; without it, `import paddle` sets one, for child processes, too.
os.environ.setdefault("OMP_NUM_THREADS", str(threads.total()))
if _on_amd():
    # Paddle's MKL takes its slowest path on AMD: 8.6x on two-thread training (EPYC, 3.3.1).
    os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")

# It warns of its own default thread count and of a missing compiler cache; neither concerns a user.
with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    import paddle  # noqa: F401
