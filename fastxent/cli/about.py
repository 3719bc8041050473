"""``demo``, ``info`` and ``warmup``: about this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import source, whole, writable

if TYPE_CHECKING:
    import argparse
    from typing import Any


def add(commands: Any) -> None:
    demo = commands.add_parser(
        "demo", help="train on real data that this machine has, beside scikit-learn", allow_abbrev=False
    )
    demo.add_argument(
        "--output",
        type=writable,
        default="fastxent-demo.png",
        metavar="FILE",
        help="where to draw the training curves (default: %(default)s)",
    )
    demo.add_argument(
        "--repeats",
        type=whole(1),
        default=3,
        metavar="N",
        help="fits of each model; the median time is shown (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)

    info = commands.add_parser(
        "info", help="version, instruction-set level, processors; or what a model file holds"
    )
    info.add_argument("model", nargs="?", type=source, help="a model file")
    info.set_defaults(run=_info)

    warmup = commands.add_parser("warmup", help="compile the loops of SGDClassifier and keep them on disk")
    warmup.set_defaults(run=_warmup)


def _demo(arguments: argparse.Namespace) -> None:
    from fastxent.demo import run  # brings scikit-learn

    run(arguments.output, arguments.repeats)


def _info(arguments: argparse.Namespace) -> None:
    if arguments.model is None:
        from fastxent.installation import describe

        found = describe()
    else:
        from .served import Served

        found = Served(arguments.model).describe()
    for name, value in found.items():
        print(f"{name:13}{value}")


def _warmup(arguments: argparse.Namespace) -> None:
    from fastxent.sgd.warmup import warm_up  # brings Numba

    for line in warm_up():
        print(line)
