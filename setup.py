"""Builds the kernels: what pyproject.toml cannot say. All compiler directives and flags stand here.

One source, fastxent/kernels/_baseline.pyx, becomes up to three extensions: the baseline for whatever the
compiler targets, and clones of it for x86-64-v3 and x86-64-v4. Cython translates it once, and a clone's C is the
baseline's with another module name. A clone is optional: where the compiler or the processor family does not
know its flag it is left out, and fastxent.kernels picks the best that is there.
Two more stand beside them: fastxent/kernels/api.pyx hands the chosen one on to other people's extensions, and
fastxent/kernels/cleanup.pyx is no kernel, but what Python cannot do: clean up without being interrupted.

Switches, by environment variable (see CONTRIBUTING.md):
    FASTXENT_DEBUG=1     bounds checks in the Cython code, no optimisation, debug symbols
    FASTXENT_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer
"""

import logging
import os
import re
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
from setuptools.modified import newer_group

PACKAGE = "fastxent.kernels"
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
# -w: hundreds of warnings are about code that Cython writes; a debug build shows them. -Wno-psabi, which -w does not
# cover: vectors are passed between static functions only, so other compilers' ways to pass them do not matter.
RELEASE_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-g0", "-w", "-Wno-psabi"]
# GCC replaces a multiplication and an addition by one fused operation, but since version 13 not in every loop: then the
# same sum would have other bits in another loop. This makes it fuse always. Clang does, and does not know the switch.
FUSE_FLAGS = ["--param=avoid-fma-max-bits=0"]
DEBUG_FLAGS = ["-O0", "-g"]
SANITIZE_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
# The leaves' generic names (simd.h) need C11.
MSVC_FLAGS = ["/std:c11", *(["/Od", "/Zi"] if DEBUG else ["/O2"])]
# On Windows, CC=clang-cl compiles the vector extensions, which Visual C++ lacks. It takes Clang's own flags like this.
CLANG_CL = os.environ.get("CC") == "clang-cl"
CLANG_CL_FLAGS = [f"/clang:{flag}" for flag in (DEBUG_FLAGS if DEBUG else RELEASE_FLAGS)]


# What a build needs, in the order in which it is tried: a C program, and what is wrong if it does not compile.
NEEDS = [
    (
        "int probe;",
        "fastxent needs a C compiler, and '{compiler}' does not work here. Install GCC (on Debian and Ubuntu: "
        "apt-get install gcc; on macOS: xcode-select --install), or name another one in the environment variable CC.",
    ),
    (
        "#include <Python.h>\n",
        "fastxent needs the C headers of Python, and '{compiler}' does not find Python.h. Install them (on Debian and "
        "Ubuntu: apt-get install python3-dev), or use a Python that brings them.",
    ),
    (
        "#if defined(__GNUC__) || defined(__clang__)\n"
        "typedef float four __attribute__((vector_size(16)));\n"
        "typedef double wide __attribute__((vector_size(32)));\n"
        "void probe(const four *x, wide *y) { *y = __builtin_convertvector(*x, wide); }\n"
        "#endif\n"
        "int generic = _Generic(1.0, double: 1, float: 0);\n",
        "The C compiler '{compiler}' is too old: fastxent needs C11 with vector extensions (GCC 9 or later, a recent "
        "Clang), or at least C11 (Visual Studio 2019 or later). Install a newer one, or name another one in the "
        "environment variable CC.",
    ),
]


def clone(c, name):
    """Return the baseline's C as that of another module, or None if it is not in a form that is known here.

    What carries the module's name is the init function, string literals, and one entry of the table of strings,
    which is compressed: it is replaced when the table is read. Names of static functions stay as they are.
    """
    old, new = f"{PACKAGE}._baseline", f"{PACKAGE}.{name}"
    # Cython 3.2 and later have one table, whose lengths must stay; 3.1 has a literal for every string.
    code, marker, table = c.partition("/* #### Code section: init_constants ### */")
    table, end, rest = table.partition("/* #### Code section:")
    read = "PyUnicode_DecodeUTF8(bytes + pos, bytes_length, NULL)"
    if table.count(read) == 1:
        renamed = (
            f'(bytes_length == {len(old)} && memcmp(bytes + pos, "{old}", {len(old)}) == 0) '
            f'? PyUnicode_FromString("{new}") : {read}'
        )
        table = table.replace(read, renamed)
    elif not re.search(rf'static const char \w+\[\] = "{re.escape(old)}";', code):
        return None
    code, rest = (
        part.replace("PyInit__baseline", f"PyInit_{name}").replace(f'"{old}', f'"{new}')
        for part in (code, rest)
    )
    return "".join([code, marker, table, end, rest])


def extension(name, march=()):
    return Extension(
        f"{PACKAGE}.{name}",
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

    def run(self):
        log = logging.getLogger()
        before = log.level
        if self.verbose == 1:  # a line for each step instead of the compiler's commands, which -v shows
            log.setLevel(logging.WARNING)
        try:
            super().run()
        finally:
            log.setLevel(before)

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc" and CLANG_CL:
            self.compiler.initialize()
            self.compiler.cc = "clang-cl"
            for ext in self.extensions:
                ext.extra_compile_args = [f"/clang:{flag}" for flag in ext.extra_compile_args]
        self.check_compiler()
        for ext in [ext for ext in self.extensions if ext.optional]:
            if not self.accepts(ext.extra_compile_args):
                self.say(f"leaving out {ext.name}: the compiler does not take {ext.extra_compile_args[0]}")
                self.extensions.remove(ext)
        flags, link_flags = self.flags()
        stamp = Path(self.build_temp) / "fastxent-switches"
        switches = f"{DIRECTIVES} {flags}"
        if not stamp.exists() or stamp.read_text() != switches:
            self.force = True  # file times alone do not tell a debug build from a release build
            stamp.unlink(missing_ok=True)  # until this build is complete, nobody knows what lies there

        self.translate()
        for ext in self.extensions:
            ext.extra_compile_args += flags
            ext.extra_link_args += link_flags
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(switches)

    def translate(self):
        """Replace the extensions' Cython sources by C."""
        folder = Path(self.build_temp) / "cython"
        self.cythonize([ext for ext in self.extensions if not ext.optional], folder)
        baseline = folder / KERNELS / "_baseline.c"
        c = baseline.read_text(encoding="utf-8")
        for ext in [ext for ext in self.extensions if ext.optional]:
            name = ext.name.rpartition(".")[2]
            path = baseline.with_name(f"{name}.c")
            text = clone(c, name)
            if text is None:
                self.cythonize([ext], folder)
                continue
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
            ext.sources = [str(path)]

    def cythonize(self, extensions, folder):
        from Cython.Build import cythonize  # not needed by sdist and metadata commands

        for ext in extensions:
            if self.is_stale(ext, (folder / ext.sources[0]).with_suffix(".c")):
                self.say(f"translating {ext.sources[0]} to C")
        translated = cythonize(
            extensions,
            build_dir=str(folder),
            compiler_directives=DIRECTIVES,
            force=self.force,
            nthreads=int(self.parallel or 0),
            quiet=True,
        )
        for ext, c in zip(extensions, translated, strict=True):
            ext.sources = c.sources

    def build_extension(self, ext):
        if self.is_stale(ext, self.get_ext_fullpath(ext.name)):
            self.say(f"compiling {ext.name}")
        super().build_extension(ext)

    def is_stale(self, ext, target):
        return self.force or newer_group([*ext.sources, *ext.depends], target)

    def say(self, step):
        if self.verbose:
            sys.stdout.write(
                f"fastxent: {step}\n"
            )  # print's two writes would mix with those of other threads
            sys.stdout.flush()

    def flags(self):
        if self.compiler.compiler_type == "msvc":
            return MSVC_FLAGS + (CLANG_CL_FLAGS if CLANG_CL else []), []
        if SANITIZE:
            return SANITIZE_FLAGS, ["-fsanitize=address,undefined"]
        if DEBUG:
            return DEBUG_FLAGS, []
        fuse = FUSE_FLAGS if self.compiles("int probe;\n", FUSE_FLAGS) else []
        return RELEASE_FLAGS + fuse, []

    def check_compiler(self):
        """Raise a CompileError that says what is missing, if the kernels cannot be compiled here."""
        name = self.compiler.compiler_type
        if name == "unix":
            name = " ".join(self.compiler.compiler_so[:1])
        for program, complaint in NEEDS:
            if not self.compiles(program):
                raise CompileError(complaint.format(compiler=name))

    def accepts(self, march):
        """Whether this compiler, aimed at x86-64, takes the flags of a clone."""
        if self.compiler.compiler_type == "msvc" and not CLANG_CL:  # only warns about flags it does not know
            return False
        probe = "#if !defined(__x86_64__) && !defined(_M_X64)\n#error not x86-64\n#endif\nint probe;\n"
        return self.compiles(probe, march)

    def compiles(self, program, flags=()):
        flags = list(flags) or [flag for flag in self.flags()[0] if flag.startswith("/std")]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            except Exception as error:  # whatever went wrong, the caller knows what can be had without
                self.announce(f"{program.splitlines()[0]!r} with {flags}: {error}", level=2)
                return False
        return True


if __name__ == "__main__":  # where processes are spawned, Cython's import this file
    setup(
        # The longest first: the others fill the processors that are left.
        ext_modules=[
            *(extension(name, flags) for name, flags in reversed(CLONES.items())),
            extension("_baseline"),
            extension("api"),
            extension("cleanup"),
        ],
        cmdclass={"build_ext": BuildKernels},
    )
