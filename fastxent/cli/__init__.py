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

from .program import main

__all__ = ["main"]
