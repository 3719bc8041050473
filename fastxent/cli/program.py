"""The commands and their exit codes: 0, 1 for bad data, 2 for wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import TYPE_CHECKING

import fastxent
from fastxent.readers.batch import FormatError, MissingPackage

from . import about, evaluate, fit, predict
from .arguments import UsageError

if TYPE_CHECKING:
    from typing import Any


NAME = "fastxent"
DATA, USAGE = 1, 2


def run(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        try:
            return _outcome(_parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the results has seen enough
        _close_standard_output()
        return 0


def _outcome(arguments: argparse.Namespace) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)  # scikit-learn's ConvergenceWarning among them
            warnings.showwarning = _show_warning
            arguments.run(arguments)
        return 0
    except (UsageError, FormatError, MissingPackage) as error:
        return _failed(error, USAGE, f"\n{NAME} {arguments.command} --help lists the options.")
    except BrokenPipeError:
        raise
    except MemoryError:
        return _failed("there is not enough memory for this", DATA)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _failed(f"{place}{error.strerror or error}", DATA)
    except (ValueError, TypeError) as error:
        return _failed(error, DATA)


def _parser() -> Any:
    parser = argparse.ArgumentParser(prog=NAME, description=fastxent.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{NAME} {fastxent.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for module in (fit, predict, evaluate, about):
        module.add(commands)
    return parser


def _failed(error: object, code: int, more: str = "") -> int:
    print(f"{NAME}: error: {error}{more}", file=sys.stderr)
    return code


def _show_warning(
    message: Any, category: type[Any], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    print(f"{NAME}: warning: {message}", file=sys.stderr)


def _close_standard_output() -> None:
    """Discard what is still in the buffer, so that Python does not complain when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
