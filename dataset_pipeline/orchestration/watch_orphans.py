"""A program: ends another one, which copies a step's output to the terminal, where the process of the step is gone.

Dagster starts such a one beside each step, which is stopped with a traceback by the Ctrl-C that a terminal sends to all
of a command's processes. This one lets the command end it. Arguments: the step's process, and the one to end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

LOOK_S = 1.0


def main(parent: int, copier: int) -> None:
    """Wait until the parent is another one."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    with suppress(OSError):
        os.kill(copier, signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(*map(int, sys.argv[1:]))
