"""One item is read ahead, and no more."""

import os
import signal
import threading
import time

import pytest

from fastxent.data.ahead import ahead


def alive():
    return [thread for thread in threading.enumerate() if thread.name == "fastxent reads ahead"]


def settled():
    """Whether reads under way end by themselves."""
    for _ in range(100):
        if not alive():
            return True
        time.sleep(0.02)
    return False


def test_all_items_in_order():
    assert list(ahead(range(5))) == [0, 1, 2, 3, 4]
    assert list(ahead([])) == []


def test_the_next_item_is_read_while_one_is_used():
    second, used = threading.Event(), threading.Event()

    def items():
        yield 0
        second.set()
        assert used.wait(10)
        yield 1

    found = ahead(items())
    assert next(found) == 0
    assert second.wait(10)  # without having asked for it
    used.set()
    assert list(found) == [1]


def test_no_more_than_one_is_read_ahead():
    read = []

    def items():
        for i in range(5):
            read.append(i)
            yield i

    found = ahead(items())
    next(found)
    assert settled()
    assert read == [0, 1]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()], ids=str)
def test_errors_come_in_place_of_the_item(error):
    def items():
        yield 0
        raise error

    found = ahead(items())
    assert next(found) == 0
    with pytest.raises(type(error)) as caught:
        next(found)
    assert caught.value is error
    assert settled()


def test_an_early_end_leaves_no_thread_and_closes_the_iterator():
    closed = []

    def items():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    found = ahead(items())
    next(found)
    found.close()
    assert settled()
    assert closed == [True]


def test_a_slow_read_does_not_hold_up_an_early_end():
    go_on = threading.Event()

    def items():
        yield 0
        go_on.wait(30)
        yield 1

    found = ahead(items())
    next(found)
    began = threading.Event()
    thread = threading.Thread(target=lambda: (found.close(), began.set()))
    thread.start()
    assert began.wait(10)
    go_on.set()
    thread.join()
    assert settled()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals on this system")
def test_ctrl_c_does_not_wait_for_a_slow_read():
    go_on = threading.Event()

    def items():
        go_on.wait(60)
        yield 0

    main = threading.main_thread().ident
    strike = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    strike.start()
    with pytest.raises(KeyboardInterrupt):
        next(ahead(items()))
    assert not go_on.is_set()
    assert len(alive()) == 1  # the read itself, which goes on until it has an item
    go_on.set()
    strike.join()
    assert settled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_and_can_begin_anew():
    go_on = threading.Event()

    def items():
        yield 0
        go_on.wait(30)
        yield 1

    found = ahead(items())
    next(found)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(found)
        except RuntimeError as error:
            code = 0 if "forked" in str(error) and list(ahead("ab")) == ["a", "b"] else 2
        finally:
            os._exit(code)
    go_on.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(found) == [1]


def test_without_threads_it_still_reads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(ahead(range(3))) == [0, 1, 2]
