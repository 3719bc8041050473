"""BLAS keeps to one thread while solvers run, and has its own number back whatever ends them."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import ExitStack

import numpy as np  # noqa: F401  brings a BLAS
import pytest
import scipy.linalg  # noqa: F401  brings another
import threadpoolctl
from threadpoolctl import ThreadpoolController, threadpool_limits

from fastxent import blas
from fastxent.blas import one_blas_thread
from strikes import strikes

LIBRARIES = ThreadpoolController().select(user_api="blas").lib_controllers

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin" and not LIBRARIES, reason="threadpoolctl does not know Accelerate"
)


def numbers():
    return {library.num_threads for library in LIBRARIES}


def set_numbers(number):
    for library in LIBRARIES:
        library.set_num_threads(number)
        if hasattr(library, "clear_controlling_thread"):  # threadpoolctl 3.8: or no other thread may set it
            library.clear_controlling_thread()


@pytest.fixture(autouse=True)
def three():
    """BLAS has three threads, wherever the tests run, and nothing is left behind."""
    (before,) = numbers()
    set_numbers(3)
    assert numbers() == {3}
    yield
    set_numbers(before)
    assert not one_blas_thread._inside and not one_blas_thread._numbers


class InAnotherThread:
    """Calls functions in one other thread."""

    def __enter__(self):
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(1)
        return self

    def __call__(self, function, *arguments):
        return self._pool.submit(function, *arguments).result()

    def __exit__(self, *error):
        self._pool.shutdown()


def test_it_keeps_to_one_thread_while_anyone_is_inside():
    with InAnotherThread() as other:
        with one_blas_thread:
            assert numbers() == {1}
            with one_blas_thread:
                assert numbers() == {1}
            assert numbers() == {1}
            other(one_blas_thread.__enter__)
        assert numbers() == {1}  # the other one is still inside
        other(one_blas_thread.__exit__, None, None, None)
        assert numbers() == {3}


def test_the_last_one_to_leave_may_be_any_thread():
    """threadpoolctl lets only the thread that was the first to set the number set it again, unless it is told."""
    with InAnotherThread() as first, InAnotherThread() as second:
        for one, another in ((first, second), (second, first), (first, first)):
            one(one_blas_thread.__enter__)
            another(one_blas_thread.__enter__)
            one(one_blas_thread.__exit__, None, None, None)
            assert numbers() == {1}
            another(one_blas_thread.__exit__, None, None, None)
            assert numbers() == {3}


def test_what_others_set_in_the_meantime_stays():
    with one_blas_thread:
        set_numbers(2)
    assert numbers() == {2}
    with one_blas_thread:
        assert numbers() == {1}
    assert numbers() == {2}


def test_limits_of_others_inside_and_outside():
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread, threadpool_limits(2, user_api="blas"):
            assert numbers() == {2}
            with one_blas_thread:
                assert numbers() == {1}
        assert numbers() == {2}
    assert numbers() == {3}
    with threadpool_limits(1, user_api="blas"):
        with one_blas_thread:
            assert numbers() == {1}
        assert numbers() == {1}
    assert numbers() == {3}


def test_a_number_that_cannot_be_given_back_is_given_back_next_time():
    """Another thread has said that it alone sets the number."""
    with InAnotherThread() as other:
        limits = ExitStack()
        with one_blas_thread:
            other(limits.enter_context, threadpool_limits(1, user_api="blas"))
        if numbers() != {3}:  # threadpoolctl from 3.8 on
            assert one_blas_thread._numbers
            other(limits.close)
            with one_blas_thread:
                pass
        assert numbers() == {3}
        limits.pop_all()


def test_a_library_that_is_loaded_later_is_seen(monkeypatch):
    class Late:
        filepath = "/lib/liblate.so"
        num_threads = 5

        def set_num_threads(self, number):
            self.num_threads = number

    late, controller = Late(), ThreadpoolController.select
    with one_blas_thread:
        pass

    def with_late(self, **kwargs):
        found = controller(self, **kwargs)
        found.lib_controllers.append(late)
        return found

    monkeypatch.setattr(ThreadpoolController, "select", with_late)
    monkeypatch.setitem(sys.modules, "a_module_that_brings_it", blas)
    with one_blas_thread:
        assert late.num_threads == 1
    assert late.num_threads == 5
    monkeypatch.setattr(one_blas_thread, "_modules", None)  # look again afterwards


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interruption_anywhere_gives_it_back(threads):
    def inside():
        with one_blas_thread:
            with one_blas_thread:
                pass
            return numbers()

    with InAnotherThread() as other:
        if threads == 2:
            other(one_blas_thread.__enter__)
        inside()  # looks for the libraries
        for number, result in strikes(inside, blas, threadpoolctl):
            assert isinstance(result, KeyboardInterrupt) or result == {1}
            assert numbers() == ({3} if threads == 1 else {1}), f"after a strike at place {number}"
        if threads == 2:
            other(one_blas_thread.__exit__, None, None, None)
    assert numbers() == {3}
    assert number > 50


def test_an_interruption_between_setting_and_remembering(monkeypatch):
    """As threadpoolctl's own limit() cannot help: it returns what is to be remembered when all is set."""
    setting, left = blas._set, [1]

    def interrupted(library, number):
        setting(library, number)
        if left:
            raise KeyboardInterrupt(left.pop())

    monkeypatch.setattr(blas, "_set", interrupted)
    with pytest.raises(KeyboardInterrupt), one_blas_thread:
        pytest.fail("entered")
    assert numbers() == {3}


PROGRAM = """
    import os, signal, sys, threading, time
    import numpy as np, scipy.linalg, threadpoolctl
    from fastxent.blas import one_blas_thread
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    for library in libraries:
        library.set_num_threads(3)
        getattr(library, "clear_controlling_thread", bool)()
    numbers = lambda: {library.num_threads for library in libraries}
    signal.alarm(60)
"""


FORKS = ("-W", "ignore:This process:DeprecationWarning")  # Python 3.12 and later warn of forks beside threads


def child(program):
    run = subprocess.run(
        [sys.executable, "-P", *FORKS, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert not run.stderr
    return run.returncode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_of_a_fork_has_the_number_back():
    """Forked while other threads go in and out; the child goes in and out, too."""
    code = child("""
        stop = False
        def work():
            while not stop:
                with one_blas_thread:
                    pass
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(15):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                ok = numbers() == {3} and not one_blas_thread._inside
                with one_blas_thread:
                    ok = ok and numbers() == {1}
                os._exit(0 if ok and numbers() == {3} else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop = True
        for thread in threads:
            thread.join()
        sys.exit(0 if not any(codes) and numbers() == {3} else 1)
    """)
    assert code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_that_is_forked_inside_is_inside():
    code = child("""
        with one_blas_thread:
            pid = os.fork()
            ok = numbers() == {1}
        ok = ok and numbers() == {3}
        if pid == 0:
            os._exit(0 if ok else 1)
        sys.exit(1 - ok or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert code == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="Python 3.14 may run a handler between any __enter__ and the block of its with, and then calls no __exit__",
)
def test_signals_at_any_moment():
    caught, armed = 0, False

    def handler(number, frame):
        if armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for i in range(300):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 20e-6 + i * 1e-6)
                while True:
                    with one_blas_thread:
                        pass
            except KeyboardInterrupt:
                caught += 1
            armed = False
            assert numbers() == {3}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught == 300


def test_threads_that_come_and_go():
    """Whoever is inside finds one thread, however the stays overlap."""
    wrong = []

    def work():
        for _ in range(200):
            with one_blas_thread:
                if numbers() != {1}:
                    wrong.append(numbers())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and numbers() == {3}
