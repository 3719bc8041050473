"""Run one function in a process that was started for it: `processes.run` writes the job, and reads what it yields."""

import importlib
import json
import os
import sys
import time


def main():
    job = json.load(sys.stdin)
    if hasattr(os, "sched_setaffinity"):  # no pool of any library gets more than its share
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["threads"]])
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no result
    start = time.perf_counter()
    if job["library"]:
        importlib.import_module(job["library"])
    imported = time.perf_counter() - start
    module, function = job["function"].split(":")
    for record in getattr(importlib.import_module(module), function)(**job["arguments"]):
        print(json.dumps({"import": imported, **record}), file=results, flush=True)


if __name__ == "__main__":
    main()
