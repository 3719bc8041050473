"""A child process: draws examples from seeds, and runs them one after the other.

Each argument is a job, "entry:seed:count", or "entry:seed:count:only" for one of those examples, by its number; with
"--plant bug" before it, a bug is in the package meanwhile (see `fuzz.planted`). Before an example runs, its number is
written to standard output, so that whoever reads there knows which one it was when this process dies or never comes
back.
"""

import faulthandler
import json
import resource
import sys
import traceback
import warnings
from contextlib import nullcontext

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from fuzz.entries import ENTRIES
from fuzz.judge import Wrong
from fuzz.planted import BUGS

MEMORY = 8 << 30  # bytes of address space: what asks for more is told so, instead of filling the machine


def main(arguments):
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    plant = None
    while arguments:
        word, *arguments = arguments
        if word == "--plant":
            plant, *arguments = arguments
            continue
        entry, *numbers = word.split(":")
        with BUGS[plant]() if plant else nullcontext():
            do(entry, *map(int, numbers))
        plant = None


def do(entry, seed, count, only=None):
    draw, run, _ = ENTRIES[entry]
    number = -1

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(draw())
    def each(example):
        nonlocal number
        number += 1
        if only is not None and number != only:
            return
        say("begin", number, "" if only is None else repr(example))
        try:
            run(example)
        except Wrong as wrong:
            say("wrong", str(wrong), repr(example))
        except Exception:
            say("wrong", f"the harness itself failed: {traceback.format_exc()}", repr(example))
        else:
            say("done")

    each()
    say("end")


def say(*words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
