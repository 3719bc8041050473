"""Threads: order, exceptions, nesting, how many there are; forks, Ctrl-C, too little memory, the end of the process."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest

from fastxent import parallel
from strikes import strikes

FORKS = ("-W", "ignore:This process:DeprecationWarning")  # Python 3.12 and later warn of forks beside threads


def child(program, *, timeout=60, **environment):
    """Run a program in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-P", *FORKS, "-c", textwrap.dedent(program)],
        env=os.environ | environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


# run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 50])
def test_results_stand_in_the_order_of_the_pieces(count, n_threads):
    def task(i):
        time.sleep(0.002 if i % 3 == 0 else 0)  # later pieces overtake
        return i * i

    assert parallel.run(task, count, n_threads) == [i * i for i in range(count)]


def test_every_piece_runs_once_and_the_caller_helps():
    ran, where = [], set()

    def task(i):
        ran.append(i)
        where.add(threading.current_thread().name)
        time.sleep(0.001)

    parallel.run(task, 60, 3)
    assert sorted(ran) == list(range(60))
    assert threading.current_thread().name in where
    assert 2 <= len(where) <= 3


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_is_raised_and_stops_the_taking_of_pieces(error, n_threads):
    ran = []

    def task(i):
        ran.append(i)
        if i == 3:
            raise error("of piece 3")
        time.sleep(0.001)

    with pytest.raises(error, match="of piece 3"):
        parallel.run(task, 10_000, n_threads)
    assert len(ran) < 100
    count = len(ran)
    time.sleep(0.02)
    assert len(ran) == count, "a piece was started after the exception had been raised"
    assert parallel.run(lambda i: i, 3, n_threads) == [0, 1, 2]


def test_an_exception_of_another_thread_is_raised_when_all_pieces_under_way_have_ended():
    caller, done = threading.current_thread(), []
    helper_failed = threading.Event()

    def task(i):
        if threading.current_thread() is caller:
            assert helper_failed.wait(10)
            time.sleep(0.01)
            done.append(i)
        else:
            helper_failed.set()
            raise ZeroDivisionError("in a helper")

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        parallel.run(task, 1000, 2)
    assert 1 <= len(done) <= 2


def test_a_long_piece_is_given_up_at_its_next_stopping_point():
    """Else Ctrl-C would wait for the pieces of all other threads, a 32nd of an evaluation each."""
    caller, endless = threading.current_thread(), threading.Event()

    def task(i):
        if threading.current_thread() is caller:
            assert endless.wait(10)
            raise KeyboardInterrupt
        endless.set()
        for _ in range(10_000):
            parallel.stopping_point()
            time.sleep(0.001)
        pytest.fail("nobody stopped this piece")

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel.run(task, 4, 3)
    assert time.monotonic() - start < 5
    parallel.stopping_point()  # of no run


def test_the_exception_of_another_thread_stops_the_caller_and_is_what_is_raised():
    caller, endless = threading.current_thread(), threading.Event()

    def task(i):
        if threading.current_thread() is not caller:
            assert endless.wait(10)
            raise ZeroDivisionError("in a helper")
        endless.set()
        for _ in range(10_000):
            parallel.stopping_point()
            time.sleep(0.001)
        pytest.fail("nobody stopped this piece")

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        parallel.run(task, 4, 2)


def test_a_stop_reaches_the_calls_within_calls():
    """The helper is in a call of its own when the caller's is stopped, and the pieces of that one have no end."""
    caller, endless, went_on = threading.current_thread(), threading.Event(), []

    def wait(j):
        endless.set()
        for _ in range(2000):
            parallel.stopping_point()
            time.sleep(0.001)
        went_on.append(j)

    for inner in (1, 2):
        endless.clear()

        def task(i, inner=inner):
            if threading.current_thread() is caller:
                assert endless.wait(10)
                raise KeyboardInterrupt
            went_on.append(parallel.run(wait, 3, inner))

        with pytest.raises(KeyboardInterrupt):
            parallel.run(task, 4, 2)
        assert not went_on
        assert parallel.run(lambda i: parallel.run(str, 2, 2), 2, 2) == [["0", "1"]] * 2


@pytest.mark.parametrize("end", ["returns", "fails", "fails in a helper"])
def test_nothing_holds_the_arrays_of_a_call_that_has_ended(end):
    class Array:
        pass

    def call():
        array, caller, in_helper = Array(), threading.current_thread(), threading.Event()

        def task(i):
            if end == "returns":
                time.sleep(0.001)
            elif threading.current_thread() is not caller:
                in_helper.set()
                raise ZeroDivisionError
            else:
                assert in_helper.wait(10)
                if end == "fails":
                    raise ZeroDivisionError
            return array

        try:
            parallel.run(task, 20, 2)
        except ZeroDivisionError as error:
            error.__traceback__ = None
        return weakref.ref(array)

    gc.disable()
    try:
        array = call()
        time.sleep(0.05)  # the helper is on its way
        assert array() is None
    finally:
        gc.enable()


def test_one_piece_or_one_thread_runs_in_the_caller(monkeypatch):
    monkeypatch.setattr(parallel, "_pool", None)  # none is needed
    here = threading.current_thread()
    assert parallel.run(lambda i: threading.current_thread() is here, 1, 8) == [True]
    assert parallel.run(lambda i: threading.current_thread() is here, 4, 1) == [True] * 4


def test_calls_from_many_threads_at_once():
    from objectives import objective_of

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40_000, 20)), rng.integers(9, size=40_000)
    ours = objective_of(X, y, n_threads=3)  # one objective for all: its buffers, too, are shared
    assert len(ours.local._ranges) > 2
    thetas = rng.normal(size=(8, *ours.shape))
    expected = [objective_of(X, y, n_threads=1).value_and_grad(theta) for theta in thetas]
    results = [None] * len(thetas)

    def evaluate(i):
        for _ in range(5):
            results[i] = ours.value_and_grad(thetas[i])

    threads = [threading.Thread(target=evaluate, args=(i,)) for i in range(len(thetas))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for (value, gradient), (same_value, same_gradient) in zip(results, expected, strict=True):
        assert value == same_value
        np.testing.assert_array_equal(gradient, same_gradient)


def test_calls_within_calls_do_not_wait_for_each_other():
    """More outer pieces than the pool has threads: an inner call that finds none free does its work itself."""
    outer = parallel.run(lambda i: sum(parallel.run(lambda j: i * j, 20, 8)), 300, 90)
    assert outer == [i * 190 for i in range(300)]


# How many threads -------------------------------------------------------------------------------------------


def test_none_stands_for_the_available_threads(monkeypatch):
    for available in (1, 3):
        monkeypatch.setattr(parallel, "available_threads", lambda available=available: available)
        where = parallel.run(lambda i: (time.sleep(0.002), threading.get_ident())[1], 30, None)
        assert len(set(where)) == available


@pytest.mark.parametrize("n_threads", [50, 10**6, 10**30])
def test_no_call_starts_more_threads_than_are_of_use(monkeypatch, n_threads):
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    where = parallel.run(lambda i: (time.sleep(0.001), threading.get_ident())[1], 200, n_threads)
    assert 2 <= len(set(where)) <= parallel.MOST_THREADS < 50
    assert len(parallel._pool.threads) < parallel.MOST_THREADS


def test_calls_at_the_same_time_share_the_pool(monkeypatch):
    """As joblib's threads make them: together they keep no more threads busy than they are, or than one may have."""
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    callers, busy, together, counts = set(range(6)), [], threading.Barrier(6), []

    def task(i):
        busy.append(i)
        time.sleep(0.002)
        if i >= 20:  # the first caller had helpers until the others came
            counts.append((len(busy), max(4, len(callers))))
        busy.remove(i)

    def call(caller):
        together.wait()
        parallel.run(task, 80, 4)
        callers.discard(caller)

    threads = [threading.Thread(target=call, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(count <= most for count, most in counts)
    assert len(parallel._pool.threads) <= 3


def test_nobody_joins_a_call_that_is_closed():
    """Its caller may be gone already when a helper that saw it open comes in."""
    call = parallel._Call(str, 5, 2)
    pool = parallel._Pool()
    pool.calls[call] = None
    assert pool.join(-1) is call and call.helpers == pool.busy == {-1}
    call.helpers.clear()
    pool.busy.clear()
    call.closed = True
    assert pool.join(-1) is None and not call.helpers and not pool.busy


def test_a_call_gets_its_helper_when_others_have_ended(monkeypatch):
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    others = [
        threading.Thread(target=lambda: parallel.run(lambda i: time.sleep(0.1), 2, 2)) for _ in range(2)
    ]
    for other in others:
        other.start()
    where = parallel.run(lambda i: (time.sleep(0.01), threading.get_ident())[1], 60, 2)
    for other in others:
        other.join()
    assert len(set(where[-20:])) == 2


def test_small_problems_start_no_threads():
    run = child(
        """
        import threading
        import numpy as np
        import scipy.sparse as sp
        import fastxent
        from fastxent import parallel
        X, y, W = np.ones((200, 20)), np.arange(200) % 5, np.ones((5, 20))
        for data in (X, sp.csr_array(X)):
            fastxent.linear_cross_entropy_and_grad(data, y, W, n_threads=8)
            fastxent.linear_cross_entropy_hessp(data, y, W, None, W, None, n_threads=8)
        fastxent.softmax(X, n_threads=8)
        assert not parallel._pool.size and threading.active_count() == 1
        fastxent.softmax(np.ones((100_000, 20)), n_threads=3)
        assert parallel._pool.size == 2 and threading.active_count() <= 3
        """
    )
    assert run.returncode == 0, run.stderr


# Buffers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 17, 1000])
def test_buffers_begin_on_a_cache_line(size, dtype):
    for _ in range(5):
        array = parallel.zeros(size, dtype)
        assert (array.dtype, array.shape) == (dtype, (size,))
        assert size == 0 or array.ctypes.data % parallel.CACHE_LINE == 0
        assert not array.any()


def test_buffers_are_used_again():
    stock = parallel.Buffers(10, np.float64)
    first, second = stock.take(), stock.take()
    assert not np.shares_memory(first, second)
    stock.give(first)
    assert stock.take() is first


# The end of the main thread, no thread, no memory -----------------------------------------------------------

LATE = """
    import atexit, threading
    import numpy as np
    import fastxent
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 8))
    model = None
    if {used}:
        fastxent.softmax(X, n_threads=2)
        model = fastxent.LogisticRegression(solver="lbfgs")

    def work(X=X, y=X[:, 0] > 0, softmax=fastxent.softmax, model=model, print=print):
        for n_threads in (1, 2, None):
            assert softmax(X, n_threads=n_threads).shape == X.shape
            if model:
                model.n_threads = n_threads
                assert model.fit(X, y).score(X, y) > 0.9
        print("done", flush=True)
"""
WHERE = {
    "a thread that outlives the main thread": """
    def outlive():
        threading.main_thread().join()
        work()
    threading.Thread(target=outlive).start()
    """,
    "an exit handler": "atexit.register(work)",
    "a finaliser": """
    class Last:
        def __del__(self, work=work):  # scikit-learn's fit wants to import something, which is over
            work(model=None)
    last = Last()
    """,
}


@pytest.mark.parametrize("used", [True, False], ids=["pool", "no pool"])
@pytest.mark.parametrize("where", WHERE)
def test_fits_and_predictions_go_on_when_the_main_thread_has_ended(where, used):
    program = textwrap.dedent(LATE.format(used=used)) + textwrap.dedent(WHERE[where])
    done = child(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("where", ["a thread that outlives the main thread", "an exit handler"])
def test_functions_are_used_for_the_first_time_when_the_main_thread_has_ended(where):
    program = """
        import atexit, threading
        import concurrent.futures.thread  # SciPy 1.18 imports it, and then it is too late for the first time
        import numpy as np
        import fastxent

        def work():
            assert fastxent.softmax(np.zeros((60_000, 8))).shape == (60_000, 8)
            print("done", flush=True)
    """
    done = child(textwrap.dedent(program) + textwrap.dedent(WHERE[where]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_where_no_thread_can_be_started_the_caller_works(monkeypatch, error):
    def cannot(*arguments):
        raise error("can't start new thread")

    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    monkeypatch.setattr(_thread, "start_new_thread", cannot)
    where = parallel.run(lambda i: threading.get_ident(), 20, 3)
    assert set(where) == {threading.get_ident()}


def test_a_helper_outlives_what_its_pieces_raise(monkeypatch):
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    caller, helped = threading.get_ident(), threading.Event()
    for error in (MemoryError, SystemExit, KeyboardInterrupt, ZeroDivisionError):
        helped.clear()

        def task(i, error=error):
            if threading.get_ident() == caller:
                assert helped.wait(10)
            else:
                helped.set()
                raise error("in a helper")

        with pytest.raises(error, match="in a helper"):
            parallel.run(task, 100, 2)
    assert len(parallel._pool.threads) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_too_little_memory_ends_in_a_memory_error():
    """From none at all to enough: a fit succeeds, by as many threads as get their stacks, or says what is missing."""
    run = child(
        """
        import resource, signal, warnings
        import numpy as np, fastxent
        warnings.simplefilter("ignore")
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60_000, 10)), rng.integers(9, size=60_000)
        model = fastxent.LogisticRegression(solver="lbfgs", max_iter=2, n_threads=6)
        model.fit(X[:100], y[:100])
        signal.alarm(100)
        for megabytes in (0, 1, 3, 6, 10, 15, 22, 40, 150):
            with open("/proc/self/statm") as file:
                present = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (present + megabytes * 2**20, -1))
            try:
                fastxent.softmax(X, n_threads=6)
                model.fit(X, y)
                print("fits")
            except MemoryError:
                print("MemoryError")
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        """
    )
    outcomes = run.stdout.split()
    assert (run.returncode, run.stderr, len(outcomes)) == (0, "", 9)
    assert (
        set(outcomes) == {"MemoryError", "fits"} and outcomes[0] == "MemoryError" and outcomes[-1] == "fits"
    )


# Fork and Ctrl-C --------------------------------------------------------------------------------------------

EVALUATION = """
    import os, sys, time
    import numpy as np
    from fastxent import parallel
    from fastxent.data.targets import Targets
    from fastxent.objective import Objective
    X, y = np.random.default_rng(0).normal(size=(30_000, 40)), np.arange(30_000) % 7
    objective = Objective.over(X, Targets(y, 7), n_threads=3)
    theta = np.full(objective.shape, 0.1)
    value, gradient = objective.value_and_grad(theta)
    assert parallel._pool.size
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_after_use_works():
    """OpenMP's hang here. The exit code is the child's."""
    run = child(
        EVALUATION
        + """
    pid = os.fork()
    if pid == 0:
        assert not parallel._pool.threads
        again, same = objective.value_and_grad(theta)
        made, _ = Objective.over(X, Targets(y, 7), n_threads=2).value_and_grad(theta)
        ok = again == made == value and (same == gradient).all() and parallel._pool.size
        os._exit(7 if ok else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert objective.value(theta) == value
    sys.exit(code)
    """
    )
    assert run.returncode == 7, run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_while_another_thread_evaluates_works():
    """Locks may be held, and every helper busy, in the moment of the fork."""
    run = child(
        EVALUATION
        + """
    import threading
    stop = False
    def work():
        while not stop:
            objective.value_and_grad(theta)
    thread = threading.Thread(target=work)
    thread.start()
    codes = set()
    for _ in range(5):
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            os._exit(7 if Objective.over(X, Targets(y, 7), n_threads=3).value_and_grad(theta)[0] == value else 1)
        codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop = True
    thread.join()
    sys.exit(7 if codes == {7} else 1)
    """
    )
    assert run.returncode == 7, run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("who", ["the caller", "a helper"])
def test_a_piece_may_fork(who):
    """The child of the caller ends the call by itself; that of a helper makes calls of its own, and leaves."""
    run = child(
        f"""
        import os, sys, threading, time
        from fastxent import parallel
        caller, done, children, first = threading.get_ident(), [], [], threading.Lock()

        def task(i):
            helps = threading.get_ident() != caller
            if helps == {who == "a helper"} and first.acquire(blocking=False):  # one of two helpers
                children.append(os.fork())
                if children == [0] and helps:
                    os._exit(7 if parallel.run(lambda j: j, 5, 3) == list(range(5)) else 1)
            if children == [0] and not helps:
                done.append(i)
            time.sleep(0.01)
            return i

        results = parallel.run(task, 12, 3)
        assert results == list(range(12)), results
        if children == [0]:
            os._exit(7 if parallel.run(lambda i: i, 5, 3) == list(range(5)) and len(done) >= 11 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(*children, 0)[1]))
        """
    )
    assert (run.returncode, run.stderr) == (7, "")


INTERRUPTED = """
    import signal, sys, time
    import numpy as np
    import scipy.sparse as sp
    from fastxent.data.targets import Targets
    from fastxent.objective import Objective
    signal.signal(signal.SIGINT, signal.default_int_handler)
    n_threads, shape, kind = {n_threads}, {shape}, {kind!r}
    n, d, K = shape
    X = np.ones((n, d), np.float32)
    if kind == "csr":
        X = sp.csr_array(X)
    objective = Objective.over(X, Targets(np.arange(n) % K, K), n_threads=n_threads)
    theta = np.zeros(objective.shape)
    if kind == "shared":
        assert objective.local._wide is not None
    print("ready", flush=True)
    try:
        while True:
            objective.value_and_grad(theta)
            print("done", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
        raise
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("dense", (100_000, 200, 4000)), ("csr", (60_000, 100, 4000)), ("shared", (20_000, 1000, 8000))],
)
def test_ctrl_c_ends_a_long_evaluation(kind, shape, n_threads):
    """One evaluation takes seconds; a call of a kernel some tens of milliseconds, and then Ctrl-C is heard."""
    program = textwrap.dedent(INTERRUPTED.format(n_threads=n_threads, shape=shape, kind=kind))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.4)  # in the midst of the first evaluation
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    late = float(out.split()[-1]) - sent
    print(f"{kind}, {n_threads} threads: heard after {late:.3f} s")
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert process.returncode in (-signal.SIGINT, 130)
    assert "done" not in out, "the evaluation was to be longer"
    assert late < 1.0  # 0.2 s on a machine that does nothing else


def quiet():
    """Wait until the pool's threads are idle; whether nothing is left of any call."""
    pool = parallel._pool
    end = time.monotonic() + 5
    while pool.idle != pool.threads and time.monotonic() < end:
        time.sleep(0.001)
    return pool.idle == pool.threads and not pool.busy and not pool.calls and parallel._here.call is None


@pytest.mark.parametrize("nested", [False, True])
def test_an_interruption_anywhere_leaves_nothing_behind(monkeypatch, nested):
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    under_way = []

    def piece(i):
        under_way.append(i)
        try:
            time.sleep(0.0005)
            return parallel.run(str, 2, 2) if nested else i
        finally:
            under_way.remove(i)

    expected = [["0", "1"]] * 6 if nested else list(range(6))
    for number, result in strikes(lambda: parallel.run(piece, 6, 3), parallel):  # noqa: B007
        assert isinstance(result, KeyboardInterrupt) or result == expected
        assert not under_way, "a piece goes on when its call has ended"
    assert quiet() and len(parallel._pool.threads) <= 2
    assert number > 25  # interruptions; Python 3.14 looks for them half as often as 3.11


SOAK = """
    import os, random, signal, sys, time, warnings
    import numpy as np, fastxent, scipy.linalg, threadpoolctl
    from fastxent import parallel
    warnings.simplefilter("ignore")
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    for library in libraries:
        library.set_num_threads(3)
        getattr(library, "clear_controlling_thread", bool)()
    rng = np.random.default_rng(0)
    X, wide = rng.normal(size=(3000, 8)), rng.normal(size=(60_000, 8))
    y = rng.integers(3, size=3000)
    under_way = []

    def piece(i):
        under_way.append(1)
        try:
            parallel.stopping_point()
            return parallel.run(str, 2, 2)
        finally:
            under_way.append(-1)

    def calls():
        assert parallel.run(piece, 40, 3) == [["0", "1"]] * 40

    def fit():
        fastxent.LogisticRegression(max_iter=3, n_threads=2).fit(X, y)

    def folds():
        fastxent.LogisticRegressionCV(Cs=[0.1, 1.0], cv=2, n_threads=2, max_iter=3).fit(X[:300], y[:300])

    def softmax():
        fastxent.softmax(wide, n_threads=2)

    jobs = []
    for job in (calls, fit, folds, softmax):
        job()
        began = time.perf_counter()
        job()
        jobs.append((job, time.perf_counter() - began))
    armed, caught, late = False, 0, 0.0

    def handler(number, frame):
        global heard
        if armed:
            heard = time.perf_counter()
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, handler)
    chance = random.Random({seed})
    end = time.monotonic() + {seconds}
    while caught < {signals} and time.monotonic() < end:
        job, seconds = chance.choice(jobs)
        began = time.perf_counter()
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + chance.random() * seconds, {again})
            job()
            armed = False
        except KeyboardInterrupt:
            armed = False
            caught += 1
            late = max(late, time.perf_counter() - heard)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if sum(under_way):
            sys.exit("a piece goes on when its call has ended")
        under_way.clear()
        if any(library.num_threads != 3 for library in libraries):
            sys.exit("BLAS has not its own number of threads")
        if parallel._pool.calls or parallel._here.call is not None or parallel.one_blas_thread._inside:
            sys.exit("something is left of a call")
    time.sleep(0.2)
    if parallel._pool.idle != parallel._pool.threads or not 1 <= len(parallel._pool.threads) <= 2:
        sys.exit(f"of the pool's threads some are lost: {{vars(parallel._pool)}}")
    print(caught, late)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("again", [0.0, 100e-6], ids=["one", "many"])
def test_signals_at_any_moment(again):
    """With real signals, as many in a row as come: some hundred calls and fits are interrupted, and leave no trace."""
    run = child(SOAK.format(seed=int(again > 0), signals=300, seconds=20, again=again))
    assert (run.returncode, run.stderr) == (0, "")
    caught, late = run.stdout.split()
    print(f"{caught} interrupted, the slowest in {float(late):.3f} s")
    assert int(caught) >= 100


# Sums whose terms come from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 64, 100])
@pytest.mark.parametrize("seed", range(3))
def test_sums_of_pieces_in_any_order_have_the_bits_of_the_ordered_sum(n, seed):
    rng = np.random.default_rng(seed)
    terms = rng.normal(size=n) * 10.0 ** rng.integers(-12, 12, n)
    owners = rng.integers(0, 3, n) if seed else np.sort(rng.integers(0, 3, n))
    whole, pieces = parallel.SumTree(), []
    for owner in range(3):
        tree = parallel.SumTree()
        for place in rng.permutation(np.flatnonzero(owners == owner)).tolist():
            tree.put(terms[place], place)
        pieces += tree.sums.items()
    for i in rng.permutation(len(pieces)):
        (level, place), term = pieces[i]
        whole.put(term, place, level)
    assert whole.total() == parallel.ordered_sum(terms)
    if seed == 0:  # neighbours: each owner has few sums
        assert len(pieces) <= 3 * 2 * n.bit_length()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_another_thread_stops_work(n_threads):
    work, begun, ran = parallel.Stoppable(), threading.Event(), []

    def task(i):
        ran.append(i)
        begun.set()
        time.sleep(0.001)

    def stop():
        begun.wait(10)
        work.stop()

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(parallel.StoppedError), work:
        parallel.run(task, 100_000, n_threads)
    other.join()
    assert len(ran) < 50_000
    assert parallel.run(lambda i: i, 3, n_threads) == [0, 1, 2]  # nothing of it remains


def test_work_that_nobody_stops_ends_as_usual():
    with parallel.Stoppable():
        assert parallel.run(lambda i: i, 3, 2) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError), parallel.Stoppable():
        parallel.run(lambda i: 1 // i, 3, 2)
