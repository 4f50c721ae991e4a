"""Guards of a trial's process: it ends when it hangs, and its log does not fill the disk.

NNI redirects a trial's output to files, and has no limit on either.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import stat
import sys
import threading
import time

MAX_LOG_BYTES = 10_000_000
"""Of each of the files ``trial.stdout`` and ``trial.stderr``."""
LOOK_S = 0.2
"""Seconds between two looks at a log."""
LOCKED_UP_S = 10
"""Seconds that a trial whose time is over may go on without executing Python."""


def end_after(timeout_s: float) -> None:
    """End this process with exit code 1 after ``timeout_s``, and say so, even if it hangs in code that is not Python."""

    def end() -> None:
        print(
            f"nni-earlyexit: trial-timeout: not finished after {timeout_s:g} s; the trial is ended",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    # a thread of its own that needs no Python, and shows where every other one is
    faulthandler.dump_traceback_later(timeout_s + LOCKED_UP_S, exit=True)


def cap_logs(most: int = MAX_LOG_BYTES) -> None:
    """Cut the files that standard output and error go to whenever they are longer than ``most`` bytes, and say so in them.

    What came first stays, and what comes after a cut follows it. Output that goes elsewhere is left alone.
    """
    logs = [fd for fd in (1, 2) if _is_file(fd)]
    for fd in logs:
        # after a cut, everybody who has the file open, such as a process that loads data, goes on at its end
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    if logs:
        threading.Thread(target=_watch, args=(logs, most), daemon=True, name="log cap").start()


def _watch(logs: list[int], most: int) -> None:
    while True:
        for fd in logs:
            if os.fstat(fd).st_size > most:
                notice = f"\n[nni-earlyexit: the log is cut here, as it is longer than {most:,} bytes]\n".encode()
                os.ftruncate(fd, most - len(notice))
                os.write(fd, notice)
        time.sleep(LOOK_S)


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
