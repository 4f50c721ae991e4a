"""Guards of a trial's process: it ends when it hangs or holds too much memory, and its log does not fill the disk.

NNI redirects a trial's output to files, and has no limit on any of these.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from nni_earlyexit.utils.amounts import format_bytes

LOGS = ("trial.log", "trial.stdout", "trial.stderr")
"""Files that NNI lets a trial's output go to: its own to the first, that of its child processes to the others."""
MAX_LOG_BYTES = 10_000_000
"""Length of each of them, in bytes."""
LOOK_S = 0.05
"""Seconds between two looks at a log."""
WEIGH_S = 0.2
"""Seconds between two looks at the memory, which take some milliseconds each."""
_HELD = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
"""Lines of Linux' summary of a process, in KiB, its part of what it shares."""
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


def end_above(most: float) -> None:
    """End this process with exit code 1, and its children, when they hold more than ``most`` bytes, and say so."""

    def weigh() -> None:
        while (held := held_bytes()) <= most:
            time.sleep(WEIGH_S)
        print(
            f"nni-earlyexit: trial-memory: {format_bytes(held)} are more than {format_bytes(most)}; the trial is ended",
            file=sys.stderr,
            flush=True,
        )
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        os._exit(1)

    threading.Thread(target=weigh, daemon=True, name="memory limit").start()


def held_bytes() -> int:
    """Bytes of memory that this process and its children hold, in which what several share counts once in all.

    Files that are only mapped, such as a cache of images, do not count: the system takes their memory back when it needs it.
    """
    held = 0
    for process in (os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))):
        with suppress(OSError):  # it has ended by now
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith(_HELD):
                    held += 1024 * int(line.split()[1])
    return held


def cap_logs(folder: Path, most: int = MAX_LOG_BYTES) -> None:
    """Cut this trial's logs in ``folder`` whenever they are longer than ``most`` bytes, and say so in them.

    What came first stays. What comes after a cut follows it, so that the last lines, which may say why a trial fails, are
    there too.
    """
    for fd in (1, 2):
        with suppress(OSError):
            # NNI opens them without; with it, everybody who has a file goes on at its end after a cut
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    threading.Thread(target=_watch, args=(folder, most), daemon=True, name="log cap").start()


def _watch(folder: Path, most: int) -> None:
    notice = f"\n[nni-earlyexit: the log is cut here, as it is longer than {most:,} bytes]\n".encode()
    while True:
        for path in (folder / name for name in LOGS):
            with suppress(OSError):  # not there yet, or the disk is full: a trial does not fail for its log
                if path.stat().st_size > most:
                    os.truncate(path, most - most // 10)  # room for what follows
                    with path.open("ab") as log:
                        log.write(notice)
        time.sleep(LOOK_S)
