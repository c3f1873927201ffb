"""`olmo-explain`, and `python -m olmo_explain`: a command, and a clean way out on Ctrl-C.

Imports nothing before somebody is there to catch an interruption: it may well come while torch is
still being imported.
"""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130  # what a shell calls the end by Ctrl-C
SHOW_CURSOR = b"\x1b[?25h"  # which a bar hides


def main() -> None:
    """Runs the command that sys.argv names. Interrupted at any moment, it ends with 130."""
    was_interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal was_interrupted
        if was_interrupted:  # by somebody who does not want to wait for what is being put away
            with suppress(OSError):
                os.write(2, SHOW_CURSOR if os.isatty(2) else b"")
            _leave()
        was_interrupted = True
        raise KeyboardInterrupt

    def report(unraisable: Any) -> None:
        if not was_interrupted:  # then only what was being done when it came
            sys.__unraisablehook__(unraisable)

    def report_uncaught(*error: Any) -> None:
        if was_interrupted:
            _leave()
        sys.__excepthook__(*error)

    if is_heard := signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored
        signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook, sys.excepthook = report, report_uncaught
    try:
        from olmo_explain.terminal import main as run

        run()
    except BaseException:
        # An import that is interrupted may end in another error than it should.
        if was_interrupted:
            _leave()
        if is_heard:  # all is said: while Python puts its things away, the system's own end will do
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise


def _leave() -> NoReturn:
    """Out at once, without waiting for threads that still load or compute."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
