"""The command line: ``python -m fastxent`` with ``demo``, ``info`` or ``warmup``."""

import argparse
import os
from pathlib import Path

import fastxent


def main(argv=None):
    """Run one command and return its exit code; ``argv`` is ``sys.argv[1:]`` unless given."""
    parser = argparse.ArgumentParser(prog="python -m fastxent", description=fastxent.__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)

    demo = commands.add_parser("demo", help="train on real data that this machine has, beside scikit-learn")
    demo.add_argument(
        "--output",
        type=_writable,
        default="fastxent-demo.png",
        metavar="FILE",
        help="where to draw the training curves (default: %(default)s)",
    )
    demo.add_argument(
        "--repeats",
        type=_positive,
        default=3,
        metavar="N",
        help="fits of each model; the median time is shown (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)

    info = commands.add_parser("info", help="version, instruction-set level, processors")
    info.set_defaults(run=_info)

    warmup = commands.add_parser("warmup", help="compile the loops of SGDClassifier and keep them on disk")
    warmup.set_defaults(run=_warmup)

    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


def _writable(text):
    """Refuse a path that cannot be written before the training, not after it."""
    folder = Path(text).absolute().parent
    if not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"there is no folder {folder} that can be written to")
    return text


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _demo(arguments):
    from fastxent.demo import run  # brings scikit-learn

    run(arguments.output, arguments.repeats)
    return 0


def _info(arguments):
    from fastxent.installation import describe

    for name, value in describe().items():
        print(f"{name:13}{value}")
    return 0


def _warmup(arguments):
    from fastxent.sgd.warmup import warm_up  # brings Numba

    for line in warm_up():
        print(line)
    return 0
