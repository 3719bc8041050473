# What the processor can run. Other compilers than GCC and Clang, and other processors than x86-64, have only
# the baseline. __builtin_cpu_supports also asks whether the operating system saves the wide registers.

cdef extern from *:
    """
    static int fastxent_cpu_level(void) {
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))) return 0;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl"))) return 3;
        return 4;
    #else
        return 0;
    #endif
    }
    """
    int fastxent_cpu_level() noexcept nogil


def cpu_level():
    """Return the highest x86-64 level that the processor runs: 4, 3, or 0 for the baseline alone."""
    return fastxent_cpu_level()
