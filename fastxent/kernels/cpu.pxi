# What the processor can run. Other compilers than GCC and Clang, and other processors than x86-64, have only
# the baseline. __builtin_cpu_supports also asks whether the operating system saves the wide registers.

cdef extern from *:
    """
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    #include <cpuid.h>
    /* Bytes of the data cache of a level, 0 if unknown: Intel's leaf 4, AMD's 0x8000001D of the same form. */
    static long long fastxent_cache_size(unsigned level) {
        unsigned a, b, c, d;
        const unsigned leaves[2] = {4, 0x8000001D};
        for (int l = 0; l < 2; l++)
            for (unsigned i = 0; i < 16; i++) {
                if (!__get_cpuid_count(leaves[l], i, &a, &b, &c, &d) || (a & 31) == 0) break;
                if ((a & 31) == 2 || ((a >> 5) & 7) != level) continue;
                const long long ways = (b >> 22) + 1, partitions = ((b >> 12) & 1023) + 1, line = (b & 4095) + 1;
                return ways * partitions * line * ((long long)c + 1);
            }
        return 0;
    }
    #else
    static long long fastxent_cache_size(unsigned level) { (void)level; return 0; }
    #endif

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
    long long fastxent_cache_size(unsigned level) noexcept nogil


def cpu_level():
    """Return the highest x86-64 level that the processor runs: 4, 3, or 0 for the baseline alone."""
    return fastxent_cpu_level()


def cache_size(unsigned level):
    """Return the bytes of the data cache of a level, 1 to 3, of one core, by the CPUID instruction; 0 if unknown."""
    return fastxent_cache_size(level)
