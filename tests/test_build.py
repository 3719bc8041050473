"""The source tree and how it builds: the rules that no other test would notice broken."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    p for end in ("py", "pyx", "pxi", "pxd", "h") for p in sorted((ROOT / "fastxent").rglob(f"*.{end}"))
]


def build(command, *arguments, cwd=ROOT, check=True, **environment):
    return subprocess.run(
        [sys.executable, "setup.py", command, *map(str, arguments)],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=check,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (
            r"-ffast-math|-Ofast|-fassociative-math|fastmath=True|#pragma.*fast",
            "reassociation breaks exp silently",
        ),
        (r"-march=native|-mtune=native", "the binary must run elsewhere"),
        (r"\bprange\b|cimport openmp|-fopenmp|#pragma omp", "OpenMP hangs after fork"),
        (r"parallel=True", "Numba's threading layers hang after fork"),
        (r"\bwith gil\b|\bobjmode\b|\bjitclass\b", "kernels run without the interpreter"),
        (r"\b(m|c|re)alloc\(", "kernels get their memory from the caller"),
        (r"#\s*cython:|#\s*distutils:", "directives and flags stand in setup.py alone"),
    ],
)
def test_forbidden_constructs(pattern, why):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*SOURCES, ROOT / "setup.py"]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, why


def test_no_function_of_the_kernels_has_more_than_eight_parameters():
    header = re.compile(
        r"^ *(?:cdef|def|void|double|Py_ssize_t)\b[^\n(=]*?(\w+)\(((?:[^()]|\([^()]*\))*)\)", re.MULTILINE
    )
    counts = {
        f"{path.name}: {name}": len(
            [one for one in re.sub(r"[(\[][^()\[\]]*[)\]]", "", text).split(",") if one.strip()]
        )
        for path in SOURCES
        if path.suffix in {".pyx", ".pxi", ".pxd"}
        for name, text in header.findall(path.read_text(encoding="utf-8"))
    }
    assert len(counts) > 100
    assert not {name for name, count in counts.items() if count > 8}


def test_one_version_literal():
    literals = [
        path for path in [*SOURCES, ROOT / "setup.py", ROOT / "pyproject.toml"]
        if re.search(r"^(__)?version(__)?\s*=\s*[\"']\d", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]  # fmt: skip
    assert literals == [ROOT / "fastxent" / "__init__.py"]


def test_sdist_holds_the_sources_and_no_generated_c(tmp_path):
    build("egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    kernels = {str(p.relative_to(ROOT)) for p in SOURCES if p.parent.name == "kernels"}
    assert kernels <= names
    assert {"setup.py", "pyproject.toml", "LICENSE", "Makefile", "tests/test_build.py"} <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".pyc"))]


def compiler_that_fails(folder, cases):
    """Return the path of a C compiler that fails for the command lines in these cases of the shell."""
    compiler = folder / "weak-cc"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\nexec cc "$@"\n')
    compiler.chmod(0o755)
    return str(compiler)


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="the clones are for x86-64"
)
def test_clones_that_do_not_compile_are_left_out(tmp_path):
    """A compiler that does not know x86-64-v4, and one that breaks on the kernels themselves for v3.

    Built with the debug switch, which is quick to compile.
    """
    compiler = compiler_that_fails(
        tmp_path,
        '*x86-64-v4*) echo "bad value for -march" >&2; exit 1;;\n'
        '*_v3.c*) echo "internal compiler error" >&2; exit 1;;\n',
    )
    run = build(
        "build_ext",
        *("--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"),
        CC=compiler,
        FASTXENT_DEBUG="1",
        FASTXENT_SANITIZE="0",
    )
    built = sorted((tmp_path / "lib").rglob("*.so"))
    assert [path.name.partition(".")[0] for path in built] == ["_baseline", "api", "cleanup"]
    steps = [line for line in run.stdout.splitlines() if line.startswith("fastxent: ")]
    assert (
        steps[0] == "fastxent: leaving out fastxent.kernels._v4: the compiler does not take -march=x86-64-v4"
    )
    assert sorted(steps[1:]) == [
        *(f"fastxent: compiling fastxent.kernels.{name}" for name in ("_baseline", "_v3", "api", "cleanup")),
        *(
            f"fastxent: translating fastxent/kernels/{name}.pyx to C"
            for name in ("_baseline", "api", "cleanup")
        ),
    ]
    baseline = built[0]
    program = (
        "import importlib.util as u, sys; s = u.spec_from_file_location('_baseline', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.cpu_level())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, baseline], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() in {"0", "3", "4"}


@pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform == "win32", reason="needs a compiler called cc"
)
@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("", "fastxent needs a C compiler, and '{}' does not work here"),
        ("Python.h", "fastxent needs the C headers of Python, and '{}' does not find Python.h"),
        ("__builtin_convertvector", "The C compiler '{}' is too old"),
    ],
)
def test_a_build_that_cannot_succeed_says_what_is_missing(tmp_path, lacking, message):
    """The compiler fails for every source that holds a word, the empty one included."""
    compiler = compiler_that_fails(
        tmp_path,
        f"""*.c*) for source; do case $source in *.c) grep -q '{lacking}' $source && exit 1;; esac; done;;\n""",
    )
    places = ("--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp")
    run = build("build_ext", *places, check=False, CC=compiler)
    assert run.returncode != 0
    assert f"error: {message.format(compiler)}" in run.stderr
    assert "translating" not in run.stdout and "Traceback" not in run.stderr


def test_no_compiler_at_all(tmp_path):
    run = build("build_ext", "--build-temp", tmp_path, check=False, CC="/nowhere/cc")
    assert "error: fastxent needs a C compiler, and '/nowhere/cc' does not work here." in run.stderr


@pytest.fixture
def clone(monkeypatch):
    """setup.py's function that makes a clone's C of the baseline's."""
    monkeypatch.chdir(ROOT)
    return runpy.run_path("setup.py")["clone"]


def test_the_build_can_be_imported_by_processes_that_are_spawned(monkeypatch):
    """Cython translates in processes, which import setup.py where they are not forked: Python 3.14, macOS."""

    def setup(**arguments):
        raise AssertionError("the build begins again in every process")

    monkeypatch.setattr("setuptools.setup", setup)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py", run_name="__mp_main__")


NAME = "fastxent.kernels._baseline"
INIT = f'PyMODINIT_FUNC PyInit__baseline(void) {{ trace("{NAME}.loss"); }}\n'


def test_a_clone_is_the_baseline_under_another_name(clone):
    """The two forms that Cython gives the module's name as a Python string: a literal, and part of a table."""
    renamed = 'PyMODINIT_FUNC PyInit__v3(void) { trace("fastxent.kernels._v3.loss"); }\n'
    literal = f'static const char name[] = "{NAME}";\n'
    assert clone(literal + INIT, "_v3") == 'static const char name[] = "fastxent.kernels._v3";\n' + renamed

    read = "PyUnicode_DecodeUTF8(bytes + pos, bytes_length, NULL)"
    table = (
        f'/* #### Code section: init_constants ### */\nbytes[] = "{NAME}words"; s = {{}};\n'
        "/* #### Code section: x */"
    )
    own = (
        f'(bytes_length == 26 && memcmp(bytes + pos, "{NAME}", 26) == 0) '
        '? PyUnicode_FromString("fastxent.kernels._v3") : '
    )
    assert clone(INIT + table.format(read) + INIT, "_v3") == renamed + table.format(own + read) + renamed


def test_a_form_of_c_that_is_not_known_is_translated_instead(clone):
    assert clone(INIT, "_v3") is None


def test_the_readme_s_example_runs():
    text = (ROOT / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    names = {}
    exec(example, names)  # the README's own words
    assert names["loss"] < 0.1
    assert names["grad_coef"].shape == (10, 64)


def test_the_c_api_s_example_in_the_docs_is_the_one_that_is_tested():
    page = (ROOT / "docs" / "performance.md").read_text()
    example = re.search(r"```cython\n(.*?)```", page, re.DOTALL).group(1)
    header = (ROOT / "fastxent" / "kernels" / "api.pxd").read_text()
    assert "".join(f"#     {line}".rstrip() + "\n" for line in example.splitlines()) in header
