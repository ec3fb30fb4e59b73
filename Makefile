# make setup   .venv with everything pinned, and the compiled parts
# make demo    the whole path once: data, training, deployment, LAMMPS (see README.md)
# make test    lint, types and tests
# make benchmark ROWS="..."   speed and long averages, to benchmarks/results/ROW.json
# make sanitize   the compiled parts under AddressSanitizer and UndefinedBehaviorSanitizer
# make lint / make format

PYTHON ?= $(shell command -v python3.11 || echo python3)
# Compilations at a time; one that includes libtorch's headers takes 1.1 GB of memory.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors and the compiler's output on failure, no warnings about indexes.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
STAMP := $(VENV)/.spinff-installed
CXX_FILES := $(shell find cpp lammps_plugin -name '*.[ch]pp' -o -name '*.h')
BUILD_FILES := pyproject.toml CMakeLists.txt $(CXX_FILES) \
    $(shell find cmake cpp lammps_plugin -name CMakeLists.txt -o -name '*.cmake')

# lmp and mpiexec are called by name; one thread for each process, as the tests start several.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup test sanitize demo benchmark lint format
.DELETE_ON_ERROR:

setup: $(STAMP)

$(BIN)/python:
	@PYTHON='$(PYTHON)' CXX='$(CXX)' scripts/check_tools.sh
	$(PYTHON) -m venv $(VENV)

# Everything the build needs, torch among it, comes before the package: nothing may
# download a second torch.
$(STAMP): $(BUILD_FILES) | $(BIN)/python
	@PYTHON='$(PYTHON)' CXX='$(CXX)' scripts/check_tools.sh
	@touch $@.begun # a file edited while this runs must count as changed afterwards
	@echo 'make setup: installing torch, LAMMPS, MPI and the build tools'
	@$(PIP) $$($(BIN)/python scripts/build_requirements.py)
	@echo 'make setup: installing the other packages, compiling the core and the plugin'
	@CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(PIP) --no-build-isolation --editable '.[dev]'
	@mv $@.begun $@
	@echo 'make setup: ready; activate with: source $(BIN)/activate'

lint: setup
	ruff check
	ruff format --check
	clang-format --dry-run -Werror $(CXX_FILES)
	mypy

format: setup
	ruff check --fix
	ruff format
	clang-format -i $(CXX_FILES)

test: lint
	ctest --test-dir build/wheel --output-on-failure --quiet
	OMP_NUM_THREADS=1 pytest -n 2 --floor

# lmp, MPI and torch are not instrumented: the libraries of the sanitizers are loaded into them
# beforehand, and what such foreign code leaves allocated at exit is no leak of ours.
SANITIZED := build/sanitize
SANITIZER_LIBRARIES = $(shell $(CXX) -print-file-name=libasan.so) \
    $(shell $(CXX) -print-file-name=libubsan.so) $(shell $(CXX) -print-file-name=libstdc++.so)
# Each style on two ranks, the errors on the way, and models that are damaged.
SANITIZED_TESTS := couplings-nio-2 or three_spins-nio-2 or full-2 or nan_during or damaged_archives \
    or test_wrong_table or test_rank_without_atoms or test_two_fixes_step_together

sanitize: setup
	cmake -S . -B $(SANITIZED) -G Ninja -DSPINFF_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(BIN)/python)
	cmake --build $(SANITIZED) --parallel $(JOBS)
	ASAN_OPTIONS=max_allocation_size_mb=512 ctest --test-dir $(SANITIZED) --output-on-failure
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
	    LAMMPS_PLUGIN_PATH='$(abspath $(SANITIZED)/lammps_plugin)' \
	    SPINFF_TEST_PRELOAD='$(SANITIZER_LIBRARIES)' \
	    pytest -k '$(SANITIZED_TESTS)' tests/test_lammps_pair.py tests/test_lammps_errors.py \
	    tests/test_fix_spin_sib.py tests/test_pair_spin_couplings.py

demo: setup
	OMP_NUM_THREADS=1 python examples/demo/run_demo.py

benchmark: setup
	OMP_NUM_THREADS=1 python benchmarks/run.py $(ROWS)
