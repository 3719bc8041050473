"""Run a function in a process of its own: the one way in which rivals are measured.

fastxent runs on this Python, other libraries on the one that the variable FASTXENT_PEERS names (default: this one), so
that they need not be installed beside the project. This file is also what such a process runs: it reads a job from its
standard input, and writes what the function yields.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import pickle
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import packages_distributions, version
from pathlib import Path

ON_THIS_PYTHON = ("fastxent", "onnxruntime")  # onnxruntime serves a model that fastxent has converted
COMPANIONS = {"optax": "jax", "onnxruntime": "skl2onnx"}  # used with a module, with versions of their own
POOLS = ("OMP", "OPENBLAS", "MKL", "FASTXENT")
AVX2 = {
    "FASTXENT_ISA": "v3",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's compiler obeys it, too
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
CACHES = "caches 32K, 1M, 16M"  # as Skylake's
CONFIGURATIONS = {"native": {}, "AVX2": AVX2, CACHES: {"FASTXENT_CACHES": "32K,1M,16M"}}
OURS_ALONE = (CACHES,)  # configurations that make no difference to peers
STARTED = time.monotonic()


def log(line):
    print(f"[{time.monotonic() - STARTED:5.0f} s] {line}", file=sys.stderr, flush=True)


def python_of(library):
    ours = not library or library.partition(".")[0] in ON_THIS_PYTHON
    return sys.executable if ours else os.environ.get("FASTXENT_PEERS") or sys.executable


def run(function, arguments, *, library="", threads=1, configuration="native", timeout=600, more=None):
    """Return the records that "module:function" yields, and what went wrong, or None.

    ``library`` is imported first; "import" of the first record is how long that took. ``threads`` is what every pool of
    the process has, and how many processors it may use. ``more`` are further environment variables.
    """
    job = {"function": function, "arguments": arguments, "library": library, "threads": threads}
    environment = os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS}
    environment |= CONFIGURATIONS[configuration] | (more or {})
    how = {"input": json.dumps(job).encode(), "env": environment, "capture_output": True, "timeout": timeout}
    fault = None
    try:
        done = subprocess.run([python_of(library), "-W", "ignore", __file__], **how)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            fault = (said or [f"exit code {done.returncode}"])[-1][:200]
    except subprocess.TimeoutExpired as late:
        done, fault = late, f"no end after {timeout:.0f} s"
    lines = (done.stdout or b"").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")], fault


def records_of(rival, function, arguments, *, threads=1, **how):
    """Return what a function yields about a rival in a process that imports the rival's library first."""
    arguments |= {"label": rival.label, "threads": threads}
    records, fault = run(function, arguments, library=rival.module, threads=threads, **how)
    if fault:
        log(f"    {rival.label} on {threads}, {how}: {fault}")
    return records


@contextlib.contextmanager
def file_of(problem):
    """Keep a problem in a file for the processes; give its path."""
    with tempfile.TemporaryDirectory(prefix="fastxent-bench-") as folder:
        path = Path(folder, "problem.pickle")
        path.write_bytes(pickle.dumps(problem, protocol=5))
        yield str(path)


def work():
    """Do the job that stands in the standard input."""
    job = json.load(sys.stdin)
    if hasattr(os, "sched_setaffinity"):  # no pool of any library gets more than its share
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["threads"]])
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no result
    start = time.perf_counter()
    if job["library"]:
        importlib.import_module(job["library"])
    imported = {"import": time.perf_counter() - start}
    module, function = job["function"].split(":")
    for record in getattr(importlib.import_module(module), function)(**job["arguments"]):
        print(json.dumps(imported | record), file=results, flush=True)
        imported = {}


# ------------------------------------------------------------------------------------ what is there


def found(rivals):
    """Return the versions of the rivals' libraries, and the rivals that can be imported where they would run."""
    versions, there, by_python = {}, set(), {}
    for module in ("fastxent", "numpy", "scipy", *sorted({rival.module for rival in rivals})):
        by_python.setdefault(python_of(module), []).append(module)
    for modules in by_python.values():
        records, fault = run("processes:installed", {"modules": modules}, library=modules[0])
        if fault:
            raise RuntimeError(fault)
        there.update(records[0]["modules"])
        versions |= records[0]["versions"]
    return versions, [rival for rival in rivals if rival.module in there]


def installed(modules):
    """Yield one record: which of the modules can be imported here, and the versions of their packages."""
    there = [module for module in modules if importlib.util.find_spec(module.partition(".")[0])]
    roots = dict.fromkeys(module.partition(".")[0] for module in there)
    packages, versions = packages_distributions(), {"python": platform.python_version()}
    for name in [name for root in roots for name in (COMPANIONS.get(root), root) if name]:
        versions |= {package: version(package) for package in packages.get(name, [])}
        if name not in packages:  # on the path without being installed
            versions[name] = importlib.import_module(name).__version__
    yield {"modules": there, "versions": versions}


# ------------------------------------------------------------------------------------ memory


def status(field):
    """Return a size in /proc/self/status in megabytes."""
    return int(re.search(rf"{field}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def extra_megabytes(call):
    """Return how far the process grows during ``call()``; None where the system does not tell (not Linux, not glibc).

    The system counts what C libraries allocate, too. Freed memory is first given back to it, or the call would be
    served from what an earlier one has left. Call it when the same has run before, so that thread pools and buffers
    kept for ever are not counted.
    """
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = status("VmRSS")
        _result = call()  # kept until the peak is known
        return round(status("VmHWM") - before, 1)
    except (OSError, AttributeError):
        return None


if __name__ == "__main__":
    work()
