"""Run a command that dies with the process that started it: `python -I -S leash.py PARENT COMMAND ARGUMENT...`

`producer/local.py` starts every service through this file, so that even `kill -9` of the command leaves nothing
behind. Linux tells the kernel (PR_SET_PDEATHSIG: it is kept by exec and bound to the *thread* that started us);
elsewhere an orderly end is what stops the services.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
HEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""A shell's background jobs ignore some of these, and so would all that they start: Celery stops by SIGQUIT."""


def main(parent: int, command: list[str]) -> None:
    """Become `command`, unless `parent` is gone already."""
    for each in HEARD:
        signal.signal(each, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606  an argument list, no shell


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
