"""Builds the kernels: what pyproject.toml cannot say. All compiler directives and flags stand here.

One source, fastxent/kernels/_baseline.pyx, becomes up to three extensions: the baseline for whatever the
compiler targets, and clones of it for x86-64-v3 and x86-64-v4. A clone is optional: where the compiler or the
processor family does not know its flag it is left out, and fastxent.kernels picks the best that is there.
Two more stand beside them: fastxent/kernels/api.pyx hands the chosen one on to other people's extensions, and
fastxent/kernels/cleanup.pyx is no kernel, but what Python cannot do: clean up without being interrupted.

Switches, by environment variable (see CONTRIBUTING.md):
    FASTXENT_DEBUG=1     bounds checks in the Cython code, no optimisation, debug symbols
    FASTXENT_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("fastxent/kernels")
CLONES = {"_v3": ["-march=x86-64-v3"], "_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
DEBUG = os.environ.get("FASTXENT_DEBUG", "0") != "0"
SANITIZE = os.environ.get("FASTXENT_SANITIZE", "0") != "0"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "freethreading_compatible": True,
}

# Nothing from the fast-math family: reassociation breaks exp and compensated sums without a word. The two
# -fno flags only promise that nobody reads errno or the exception flags, and let loops vectorise.
RELEASE_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-g0"]
DEBUG_FLAGS = ["-O0", "-g"]
SANITIZE_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
# The leaves' generic names (simd.h) need C11.
MSVC_FLAGS = ["/std:c11", *(["/Od", "/Zi"] if DEBUG else ["/O2"])]


def extension(name, march=()):
    return Extension(
        f"fastxent.kernels.{name}",
        sources=[str(KERNELS / f"{name}.pyx")],
        include_dirs=[str(KERNELS)],
        depends=sorted(
            str(p) for end in ("_baseline.pyx", "*.pxi", "*.pxd", "*.h") for p in KERNELS.glob(end)
        ),
        extra_compile_args=list(march),
        optional=bool(march),
    )


class BuildKernels(build_ext):
    """Chooses flags once the compiler is known, and keeps the translated C out of the source tree."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:  # setup.cfg or -j: else all clones at once, as far as there are processors
            self.parallel = min(len(self.extensions), os.cpu_count() or 1)

    def build_extensions(self):
        from Cython.Build import cythonize  # not needed by sdist and metadata commands

        self.extensions = [ext for ext in self.extensions if self.accepts(ext.extra_compile_args)]
        flags, link_flags = self.flags()
        stamp = Path(self.build_temp) / "fastxent-switches"
        switches = f"{DIRECTIVES} {flags}"
        if not stamp.exists() or stamp.read_text() != switches:
            self.force = True  # file times alone do not tell a debug build from a release build
            stamp.unlink(missing_ok=True)  # until this build is complete, nobody knows what lies there

        translated = cythonize(
            self.extensions,
            build_dir=str(Path(self.build_temp) / "cython"),
            compiler_directives=DIRECTIVES,
            force=self.force,
            nthreads=int(self.parallel or 0),
        )
        for ext, c in zip(self.extensions, translated, strict=True):
            ext.sources = c.sources
            ext.extra_compile_args += flags
            ext.extra_link_args += link_flags
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(switches)

    def flags(self):
        if self.compiler.compiler_type == "msvc":
            return MSVC_FLAGS, []
        if SANITIZE:
            return SANITIZE_FLAGS, ["-fsanitize=address,undefined"]
        return (DEBUG_FLAGS if DEBUG else RELEASE_FLAGS), []

    def accepts(self, march):
        """Whether this compiler, aimed at x86-64, takes the flags of a clone."""
        if not march:
            return True
        if self.compiler.compiler_type == "msvc":  # only warns about flags it does not know
            return False
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#ifndef __x86_64__\n#error not x86-64\n#endif\nint probe;\n")
            try:
                self.compiler.compile([str(source)], output_dir=folder, extra_postargs=march)
            except Exception as error:  # whatever went wrong, the baseline alone is a full installation
                self.announce(f"no {march[0]} clone: {error}", level=3)
                return False
        return True


setup(
    ext_modules=[
        extension("_baseline"),
        *(extension(name, flags) for name, flags in CLONES.items()),
        extension("api"),
        extension("cleanup"),
    ],
    cmdclass={"build_ext": BuildKernels},
)
