# The baseline once more, compiled for x86-64-v4 (setup.py).
include "_baseline.pyx"
