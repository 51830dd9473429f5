# Front door. Everything a fresh Debian machine needs is installed by `make deps`; `demo` and `test` call it.
BUILD   ?= build
PREFIX  ?= /usr/local
JOBS    ?= $(shell nproc)
export CLICOLOR = 1

.PHONY: all deps configure demo test test-long test-asan test-tsan bench bench-peers lint layers fmt docs install clean

all: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja: CMakeLists.txt
	@cmake --preset release -B $(BUILD) >/dev/null || { echo "hint: run 'make deps' first" >&2; exit 1; }

deps:
	@sh scripts/install-deps.sh

# The main job: raw text to a staged, probed, reported model. Prints the report's path last.
demo: deps
	@$(MAKE) --no-print-directory all
	@$(BUILD)/instar run recipes/first-light.yaml --dir runs/first-light
	@echo runs/first-light/report.html

test: deps
	@$(MAKE) --no-print-directory all
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -LE long

test-long: all
	@ctest --test-dir $(BUILD) --output-on-failure -L long

test-asan:
	@cmake --preset asan-ubsan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@ASAN_OPTIONS=detect_leaks=1 ctest --test-dir build-asan --output-on-failure -j $(JOBS) -LE 'long|timing'

test-tsan:
	@cmake --preset tsan >/dev/null
	@cmake --build build-tsan -j $(JOBS)
	@ctest --test-dir build-tsan --output-on-failure -j $(JOBS) -L threads

bench: all
	@$(BUILD)/bench_kernels

lint: layers
	@sh scripts/lint.sh

layers:
	@sh scripts/check-layers.sh

fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

docs: all
	@$(BUILD)/instar docs docs/reference

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD) build-debug build-asan build-tsan
