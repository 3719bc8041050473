"""Prefetches outlive the compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CC = shutil.which(os.environ.get("CC", "cc"))
SOURCE = Path(__file__).parents[2] / "fastxent" / "kernels"

# As Cython's: a function that only prefetches, and one that calls it where it cannot be inlined early.
PROGRAM = """
#include "simd.h"
static __attribute__((noinline)) void fetch(const char *x, ptrdiff_t size)
{
    for (ptrdiff_t at = 0; at < size; at += 64) FX_KEPT_PREFETCH(x + at);
}
void visit(const char *x, ptrdiff_t size) { fetch(x, size); }
"""


@pytest.mark.skipif(CC is None, reason="there is no C compiler here; CI has one")
def test_a_function_that_only_prefetches_is_called(tmp_path):
    """GCC removes the calls of functions without effects, and counts a prefetch as none."""
    source, result = tmp_path / "fetch.c", tmp_path / "fetch.s"
    source.write_text(PROGRAM)
    subprocess.run([CC, "-std=c11", "-O3", "-S", "-w", f"-I{SOURCE}", source, "-o", result], check=True)
    visit = result.read_text().partition("visit:")[2]
    assert "fetch" in visit.partition("ret")[0]
