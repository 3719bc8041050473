"""The source tree and how it builds: the rules that no other test would notice broken."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    p for end in ("py", "pyx", "pxi", "pxd", "h") for p in sorted((ROOT / "fastxent").rglob(f"*.{end}"))
]


def build(command, *arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, "setup.py", "-q", command, *map(str, arguments)],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=True,
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


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="the clones are for x86-64"
)
def test_clones_that_do_not_compile_are_left_out(tmp_path):
    """A compiler that does not know x86-64-v4, and one that breaks on the kernels themselves for v3.

    Built with the debug switch, which is quick to compile.
    """
    compiler = tmp_path / "weak-cc"
    compiler.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*x86-64-v4*) echo "bad value for -march" >&2; exit 1;;\n'
        '*_v3.c*) echo "internal compiler error" >&2; exit 1;;\n'
        "esac\n"
        'exec cc "$@"\n'
    )
    compiler.chmod(0o755)
    build(
        "build_ext",
        *("--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"),
        CC=str(compiler),
        FASTXENT_DEBUG="1",
        FASTXENT_SANITIZE="0",
    )
    built = sorted((tmp_path / "lib").rglob("*.so"))
    assert [path.name.partition(".")[0] for path in built] == ["_baseline", "api", "cleanup"]
    baseline = built[0]
    program = (
        "import importlib.util as u, sys; s = u.spec_from_file_location('_baseline', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.cpu_level())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, baseline], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() in {"0", "3", "4"}


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
