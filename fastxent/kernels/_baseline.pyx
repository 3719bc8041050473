"""The kernels, one source. The clones _v3 and _v4 include this file and nothing else."""

include "cpu.pxi"
