"""Run a function in a process of its own: the one way in which anything is measured.

fastxent runs on this Python, other libraries on the one that the variable FASTXENT_PEERS names (default: this one), so
that they need not be installed beside the project.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
OURS = ("fastxent", "onnxruntime")  # onnxruntime serves a model that fastxent has converted
AVX2 = {
    "FASTXENT_ISA": "v3",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's compiler obeys it, too
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
CONFIGURATIONS = {
    "native": {},
    "AVX2": AVX2,
    "caches 32K, 1M, 16M": {"FASTXENT_CACHES": "32K,1M,16M"},  # as Skylake's
}


def ours_alone(configuration):
    """Whether a configuration makes no difference to peers."""
    return configuration != "native" and all(k.startswith("FASTXENT") for k in CONFIGURATIONS[configuration])


def python_of(library):
    ours = not library or library.split(".")[0] in OURS
    return sys.executable if ours else os.environ.get("FASTXENT_PEERS") or sys.executable


def environment_of(threads, configuration):
    """Return the variables of a process whose every pool has so many threads."""
    pools = ("OMP", "OPENBLAS", "MKL", "FASTXENT")
    return (
        os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in pools} | CONFIGURATIONS[configuration]
    )


def run(function, arguments, *, library="", threads=1, configuration="native", timeout=600, more=None):
    """Return the records that "module:function" yields, and what went wrong, or None.

    Parameters
    ----------
    library : str
        A module that is imported first; "import" of every record is how long that took.
    more : dict, optional
        Further environment variables.
    """
    job = {"function": function, "arguments": arguments, "library": library, "threads": threads}
    command = [python_of(library), "-W", "ignore", str(WORKER)]
    environment = environment_of(threads, configuration) | (more or {})
    try:
        done = subprocess.run(
            command, input=json.dumps(job), env=environment, capture_output=True, text=True, timeout=timeout
        )
        output, fault = done.stdout, None
        if done.returncode:
            fault = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
    except subprocess.TimeoutExpired as late:
        output, fault = late.stdout or b"", f"no end after {timeout:.0f} s"
        output = (
            output.decode() if isinstance(output, bytes) else output
        )  # whatever was asked for, up to 3.11
    lines = output.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")], fault


def found(rivals):
    """Return the versions of the rivals' libraries, and the rivals that can be imported where they would run."""
    versions, there = {}, set()
    by_python = {}
    for module in ("fastxent", "numpy", "scipy", *sorted({rival.module for rival in rivals})):
        by_python.setdefault(python_of(module), []).append(module)
    for modules in by_python.values():
        records, fault = run("machine:installed", {"modules": modules}, library=modules[0])
        if fault:
            raise RuntimeError(fault)
        there.update(records[0]["modules"])
        versions |= {"python": records[0]["python"]} | records[0]["versions"]
    return versions, [rival for rival in rivals if rival.module in there]
