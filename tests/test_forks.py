"""A fork waits for what it must not cut in two."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# A slow import or compilation is under way in another thread when the child is forked, which then needs it, too.
PROGRAM = """
    import os, signal, sys, threading, time
    under_way = threading.Event()

    def slow(function):
        def after_a_while(*arguments, **keywords):
            under_way.set()
            time.sleep(0.3)
            return function(*arguments, **keywords)
        return after_a_while

    def check(action):
        thread = threading.Thread(target=action)
        thread.start()
        assert under_way.wait(30)
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            action()
            os._exit(0)
        thread.join()
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def run(program):
    # Python 3.12 and later warn of a fork beside other threads, which is what these tests are about.
    switches = "-P", "-W", "ignore:This process:DeprecationWarning"
    done = subprocess.run(
        [sys.executable, *switches, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_it_waits_for_an_import():
    run("""
        import fastxent, importlib._bootstrap_external
        loader = importlib._bootstrap_external.SourceFileLoader
        get_code = loader.get_code

        def slow_for_ours(self, name):
            return (slow(get_code) if name == "fastxent.functional" else get_code)(self, name)

        loader.get_code = slow_for_ours
        check(lambda: fastxent.softmax)
    """)


def test_it_waits_while_numba_compiles():
    run("""
        import numba
        from numba.core.compiler_lock import global_compiler_lock
        from fastxent.sgd import compile

        def one():
            return 1

        compiled = numba.njit(one)
        dispatcher = type(compiled)
        plain_compile = dispatcher.compile

        def slow_compile(self, signature):
            with global_compiler_lock:
                return slow(plain_compile)(self, signature)

        dispatcher.compile = slow_compile
        ours = compile._whole(compiled)
        check(lambda: ours())
    """)


def test_nobody_waits_for_the_other_for_ever():
    """Threads that hold each of the locks, again and again, and forks in between."""
    run("""
        from fastxent.forks import compiling, importing, setting
        locks = importing, compiling, setting

        def work(first):
            for _ in range(100):
                for lock in locks[first:]:
                    with lock, lock, locks[-1]:
                        time.sleep(0.0002)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            if os.fork() == 0:
                signal.alarm(30)
                with importing, compiling, setting:
                    os._exit(0)
        for thread in threads:
            thread.join()
        sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(5)))
    """)


def test_a_fit_does_not_wait_for_what_another_thread_compiles():
    """Which may take half a minute."""
    run("""
        import fastxent, numpy as np
        from fastxent.forks import compiling
        X = np.random.default_rng(0).normal(size=(60_000, 8))
        with compiling:
            thread = threading.Thread(target=lambda: fastxent.LogisticRegression().fit(X, X[:, 0] > 0), daemon=True)
            thread.start()
            thread.join(60)
            assert not thread.is_alive()
    """)
