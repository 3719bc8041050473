"""What is measured on: the processor, the versions of the libraries, and what else keeps the machine busy."""

import importlib.util
import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = {  # by module, if they have other names
    "sklearn": ["scikit-learn"],
    "sklearnex": ["scikit-learn-intelex"],
    "liblinear": ["liblinear-official"],
    "fasttext": ["fasttext-wheel"],
    "optax": ["jax", "optax"],
    "onnxruntime": ["onnxruntime", "skl2onnx"],
}
BUSY = 0.3  # processors busy with other work, above which figures are not worth publishing
STARTED = time.monotonic()


def log(line):
    print(f"[{time.monotonic() - STARTED:5.0f} s] {line}", file=sys.stderr, flush=True)


def processor():
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def file_name(name):
    """Return a processor's name as that of its file: "Intel(R) Xeon(R)" is intel-xeon.json."""
    return "-".join(re.findall("[a-z0-9]+", name.replace("(R)", "").lower())) + ".json"


def describe(name=None):
    """Return the machine's part of the results; ``name`` is for processors whose systems do not know theirs."""
    from fastxent import installation

    found = installation.describe()
    return {
        "processor": name or processor(),
        "processors": os.cpu_count(),
        "kernels": found["kernels"],
        "caches": found["caches"],
        "system": platform.platform(terse=True),
    }


def installed(modules):
    """Yield one record: which of the modules can be imported here, and the versions of their packages."""
    roots = {module: module.split(".")[0] for module in modules}
    there = [module for module in modules if importlib.util.find_spec(roots[module]) is not None]
    found = {}
    for root in dict.fromkeys(roots[module] for module in there):
        for package in PACKAGES.get(root, [root]):
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # on the path without being installed
                found[package] = importlib.import_module(root).__version__
    yield {"python": platform.python_version(), "modules": there, "versions": found}


def busy_processors(seconds=1.0):
    """Return how many processors other work keeps busy now: a load average would count our own last run."""
    import psutil

    return round(psutil.cpu_percent(seconds) / 100 * os.cpu_count(), 2)
