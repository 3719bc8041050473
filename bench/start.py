"""Start-up: seconds to import a library and to get the first result, each in a fresh process.

`python bench/start.py` measures all.
"""

import importlib
import json
import subprocess
import sys
import time

CASE = "made 1,797 x 64, 10 classes"


def in_this_process(name, module):
    """Import, build and call one rival of the main task; return the seconds of each step.

    Nothing but the standard library may be imported before the clock starts.
    """
    start = time.perf_counter()
    importlib.import_module(module)
    imported = time.perf_counter() - start

    from cases import CASES, F64
    from loss_gradient import RIVALS

    problem = next(case for case in CASES if case.name == CASE).problem(F64)
    rival = next(rival for rival in RIVALS if rival.name == name)
    start = time.perf_counter()
    call, _ = rival.start(problem, n_threads=1)
    call()
    return {"import": imported, "first": time.perf_counter() - start}


def in_fresh_processes(rivals, repeats=3):
    """Return a dict of rival name to the fastest of a few fresh processes."""
    found = {}
    for name, module in {rival.name: rival.module for rival in rivals}.items():
        command = [sys.executable, __file__, name, module]
        runs = [
            json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
            )
            for _ in range(repeats)
        ]
        found[name] = min(runs, key=lambda run: run["import"] + run["first"])
    return found


def main():
    if len(sys.argv) == 3:
        print(json.dumps(in_this_process(*sys.argv[1:])))
        return
    from loss_gradient import RIVALS

    for name, run in in_fresh_processes(
        [rival for rival in RIVALS if rival.installed() and rival.starts]
    ).items():
        print(f"{name:30} import {run['import']:.2f} s   first result {run['first']:.3f} s")


if __name__ == "__main__":
    main()
