"""Bugs to plant in a child process, to see that the harness finds them. Nothing of the package itself knows of them."""

import ctypes
import time
from contextlib import contextmanager
from unittest import mock

import numpy as np

import fastxent
from fastxent import rowwise, validation


def crash():
    return _in_softmax(lambda out: ctypes.string_at(0))


def hang():
    return _in_softmax(lambda out: time.sleep(3600))


def wrong_value():
    return _in_softmax(lambda out: np.multiply(out, 1.0 + 1e-3, out=out))


def inside_error():
    def fail(out):
        raise KeyError("planted")

    return _in_softmax(fail)


def refusal():
    return mock.patch.object(fastxent, "softmax", side_effect=ValueError("logits are not wanted today"))


def nan_accepted():
    return mock.patch.object(validation, "first_bad_entry", return_value=None)


@contextmanager
def _in_softmax(act):
    """Act on probabilities of an even number of rows."""
    original = rowwise.softmax_rows

    def spoilt(logits, out, kind, n_threads=None):
        original(logits, out, kind, n_threads)
        if kind == "softmax" and len(out) % 2 == 0:
            act(out)

    with mock.patch.object(rowwise, "softmax_rows", spoilt):
        yield


BUGS = {bug.__name__: bug for bug in (crash, hang, wrong_value, inside_error, refusal, nan_accepted)}
