"""The command line, ``fastxent`` or ``python -m fastxent``.

program.py    the commands, and what each outcome exits with
arguments.py  what several commands take
fit.py  predict.py  evaluate.py  about.py (demo, info, warmup)
data.py       files as rows that a model takes
labels.py     labels as files have them, and as models do
served.py     a model from its file, with all it needs to read other files
progress.py   a fit as it goes on
scores.py     how good predictions are
output.py     where results go
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is ``sys.argv[1:]`` unless given."""
    try:
        from .program import run  # which takes a while, too

        return run(argv)
    except KeyboardInterrupt:
        print("fastxent: error: interrupted", file=sys.stderr, flush=True)
        if (
            argv is None
        ):  # Python would end by the signal, not with our code, if the import of a module was interrupted
            os._exit(INTERRUPTED)
        return INTERRUPTED
