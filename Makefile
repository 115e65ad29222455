# GNU make. `make demo` and `make test` do all of their own set-up; a second run repeats nothing.

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Processes for the Python tests, which wait more than they compute.
TEST_JOBS ?= $(shell expr $(JOBS) + 1)
VENV := .venv
# Empty or ON; .ci/run sets it.
WERROR ?=
# Python versions for `make wheel`, such as "3.12 3.13"; empty is every one found.
WHEELS ?=
FUZZ_SECONDS ?= 600
# proxy, records, websocket, or all, which share the time.
FUZZ_TARGET ?= all
SOAK_SECONDS ?= 600
SOAK_CONNECTIONS ?= 500
# Decides which faults there are.
SOAK_SEED ?= 1

py := $(VENV)/bin/python
stamps := $(VENV)/stamps
cmake_flags := -DWSPOOL_WERROR=$(if $(WERROR),ON,OFF)

core_files := $(shell find cpp third_party cmake -type f 2>/dev/null) CMakeLists.txt CMakePresets.json
example_files := $(shell find examples/cpp -type f 2>/dev/null)
test_files := $(shell find tests/cpp tests/fuzz -type f 2>/dev/null)
wheel_files := $(core_files) pyproject.toml python/CMakeLists.txt \
	$(shell find python -type f -not -name '*.pyc' 2>/dev/null) $(wildcard README.md LICENSE)
format_cpp = $(shell find cpp python/bindings tests examples \
	\( -name '*.hpp' -o -name '*.cpp' \) -type f -not -path '*/build/*' 2>/dev/null)
lint_py := python tests scripts $(wildcard examples benchmarks)
# The interpreter's own compiler name (g++ for c++, say) would make ccache compile all twice.
ifeq ($(origin CXX),default)
CXX := c++
endif
export VENV PYTHON CXX

# A venv of another interpreter than PYTHON is made anew, so its stamps say nothing.
which = $(shell $(1) -c 'import sys; print(sys.version_info[:3], sys.base_prefix)' 2>/dev/null)
ifneq ($(call which,$(PYTHON)),$(call which,$(py)))
$(shell rm -rf $(stamps))
endif

.PHONY: help setup build demo test test-cpp test-python lint types format asan tsan fuzz wheel docs bench soak clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    set up, build, install, and run the demonstration'
	@echo 'make test    set up, build, install, and run all tests; with WSPOOL_NO_SKIPS=1 a test for'
	@echo '             which the system lacks something fails instead of being skipped'
	@echo 'make build   set up and build: the core in build/cpp, the package into $(VENV)'
	@echo 'make lint    ruff, clang-format; make types: mypy; make format: mend the formatting'
	@echo 'make asan    the C++ tests under AddressSanitizer and UBSan; make tsan: ThreadSanitizer'
	@echo 'make fuzz    fuzzes with clang for FUZZ_SECONDS (600); FUZZ_TARGET=proxy,records,websocket,all'
	@echo 'make wheel   self-contained wheels in wheelhouse/, one for each CPython found'
	@echo 'make docs    the documentation, in build/docs; warnings are errors'
	@echo 'make bench   against other libraries; SCENARIO=text-150,echo-256 CLIENT=picows ROUNDS=5 BENCH='
	@echo 'make soak    faults on SOAK_CONNECTIONS (500) feeds for SOAK_SECONDS (600); SOAK_SEED'
	@echo 'make clean   remove what was built; $(VENV) stays'
	@echo 'Variables: PYTHON=$(PYTHON) JOBS=$(JOBS) WERROR=$(WERROR) WHEELS=$(WHEELS)'

# --- set-up ------------------------------------------------------------------------------------

setup: $(stamps)/test

build/.system-%: scripts/install-system-packages.sh
	./scripts/install-system-packages.sh $*
	@mkdir -p $(@D) && touch $@

.PRECIOUS: build/.system-%

# Each stamp says: these requirements, as pyproject.toml has them, are in the venv.
$(stamps)/build: pyproject.toml scripts/setup-venv.sh build/.system-build
	./scripts/setup-venv.sh build
	@mkdir -p $(@D) && touch $@

$(stamps)/test: pyproject.toml scripts/setup-venv.sh $(stamps)/build build/.system-test
	./scripts/setup-venv.sh build test
	@mkdir -p $(@D) && touch $@

$(stamps)/lint: pyproject.toml scripts/setup-venv.sh $(stamps)/build
	./scripts/setup-venv.sh lint
	@mkdir -p $(@D) && touch $@

$(stamps)/wheel: pyproject.toml scripts/setup-venv.sh $(stamps)/build
	./scripts/setup-venv.sh build wheel
	@mkdir -p $(@D) && touch $@

$(stamps)/docs: pyproject.toml scripts/setup-venv.sh $(stamps)/build
	./scripts/setup-venv.sh docs
	@mkdir -p $(@D) && touch $@

# --- build -------------------------------------------------------------------------------------

build: build/cpp/.examples $(stamps)/installed

# The demonstration needs the examples, not the C++ tests.
build/cpp/.examples: $(core_files) $(example_files) build/.system-build
	cmake --preset cpp $(cmake_flags)
	cmake --build --preset cpp --target examples --parallel $(JOBS)
	@touch $@

build/cpp/.all: build/cpp/.examples $(test_files)
	cmake --build --preset cpp --parallel $(JOBS)
	@touch $@

# The package is used as users have it: a wheel, built and installed. The build folder stays, so
# that only what changed is compiled; the core's objects come from ccache after build/cpp.
# No cache: in a folder with a hyphen in its name pip would hand out the wheel of an earlier build.
$(stamps)/installed: $(wheel_files) $(stamps)/build
	rm -rf build/dist
	CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(py) -m pip wheel --disable-pip-version-check \
		--no-cache-dir --no-build-isolation --no-deps --wheel-dir build/dist \
		--config-settings=cmake.define.WSPOOL_WERROR=$(if $(WERROR),ON,OFF) .
	$(py) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
		build/dist/*.whl
	@touch $@

# --- use ---------------------------------------------------------------------------------------

demo: build
	$(py) examples/python/demo.py

test: test-cpp test-python

test-cpp: build/cpp/.all
	ctest --preset cpp

test-python: build build/cpp/.all $(stamps)/test
	$(py) -m pytest -n $(TEST_JOBS) --dist loadfile

fuzz_targets := $(if $(filter all,$(FUZZ_TARGET)),proxy records websocket,$(FUZZ_TARGET))
# The core bounds what a server can make it hold: no fuzzed connection needs much.
fuzz_flags_websocket := -rss_limit_mb=1024 -malloc_limit_mb=64 -dict=tests/fuzz/websocket.dict

# What crashes it is kept in build/fuzz-findings and named at the end.
fuzz: build/.system-fuzz
	cmake --preset fuzz $(cmake_flags)
	cmake --build --preset fuzz --parallel $(JOBS)
	@mkdir -p build/fuzz-findings $(fuzz_targets:%=build/fuzz-corpus/%)
	$(foreach target,$(fuzz_targets),build/fuzz/tests/fuzz/wspool_fuzz_$(target) \
		-max_total_time=$$(($(FUZZ_SECONDS) / $(words $(fuzz_targets)))) -max_len=8192 \
		-timeout=10 -print_final_stats=1 -artifact_prefix=build/fuzz-findings/ \
		$(fuzz_flags_$(target)) build/fuzz-corpus/$(target) tests/fuzz/corpus/$(target) &&) true

asan tsan: build/.system-build
	cmake --preset $@ $(cmake_flags)
	cmake --build --preset $@ --parallel $(JOBS)
	./scripts/run-sanitized.sh ctest --preset $@

wheel: $(stamps)/wheel
	./scripts/build-wheels.sh $(WHEELS)

# --- check -------------------------------------------------------------------------------------

lint: $(stamps)/lint
	$(VENV)/bin/ruff check $(lint_py)
	$(VENV)/bin/ruff format --check $(lint_py)
	$(VENV)/bin/clang-format --dry-run -Werror $(format_cpp)

types: $(stamps)/lint
	$(py) -m mypy python/wspool $(wildcard examples/python)

# All pages are read anew each time: a page that was read before keeps its warnings to itself.
docs: $(stamps)/installed $(stamps)/docs
	rm -rf build/docs
	$(py) -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --doctree-dir build/doctrees \
		docs build/docs
	@echo 'See build/docs/index.html'

# The peers have a venv of their own, in pinned versions; wspool is what was built, as a wheel.
# SCENARIO and CLIENT are names with commas; BENCH is what else benchmarks/run.py takes.
# Without Boost it goes on, without Beast.
bench: build/bench-venv/.wheel
	-./scripts/install-system-packages.sh bench
	build/bench-venv/bin/python -m benchmarks.run $(if $(SCENARIO),--scenario $(SCENARIO)) \
		$(if $(CLIENT),--client $(CLIENT)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		--json build/bench.json --charts build/bench-charts $(BENCH)

# An hour of faults in ten minutes: build/soak.json and build/soak.png tell what came of it.
soak: build $(stamps)/test
	$(py) -m benchmarks.soak --seconds $(SOAK_SECONDS) --connections $(SOAK_CONNECTIONS) \
		--seed $(SOAK_SEED) --folder build

build/bench-venv/.peers: benchmarks/requirements.txt benchmarks/setup-venv.sh
	./benchmarks/setup-venv.sh build/bench-venv peers
	@touch $@

build/bench-venv/.wheel: build/bench-venv/.peers $(stamps)/installed
	./benchmarks/setup-venv.sh build/bench-venv wheel
	@touch $@

format: $(stamps)/lint
	$(VENV)/bin/ruff check --fix --exit-zero --quiet $(lint_py)
	$(VENV)/bin/ruff format $(lint_py)
	$(VENV)/bin/clang-format -i $(format_cpp)

clean:
	rm -rf build dist wheelhouse .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f $(stamps)/installed
