# Front door. Everything a fresh Debian machine needs is installed by `make deps`; `demo` and `test` call it.
BUILD   ?= build
PREFIX  ?= /usr/local
JOBS    ?= $(shell nproc)
CTEST    = ctest --output-on-failure -j $(JOBS)

.PHONY: all deps demo test test-long test-asan test-tsan fuzz bench bench-peers bench-tables lint layers fmt docs install clean

# The program and the library, without the tests.
all: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target instar instar-bin

$(BUILD)/build.ninja:
	@cmake --preset release -B $(BUILD) >/dev/null || { echo "hint: run 'make deps' first" >&2; exit 1; }

deps:
	@sh scripts/install-deps.sh

# The main job: raw text to a staged, probed, reported model. Prints the report's path last.
demo: deps
	@$(MAKE) --no-print-directory all
	@$(BUILD)/instar run recipes/first-light.yaml --dir runs/first-light
	@echo runs/first-light/report.html

test: deps
	@$(MAKE) -s --no-print-directory $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)
	@$(CTEST) --test-dir $(BUILD) -LE long

# What takes minutes: nothing else of `make test`.
test-long: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure -L long

# The tests under AddressSanitizer and UBSan, and those with threads under ThreadSanitizer.
test-asan: deps
	@cmake --preset asan-ubsan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@$(CTEST) --test-dir build-asan -LE 'long|timing'

test-tsan: deps
	@cmake --preset tsan >/dev/null
	@cmake --build build-tsan -j $(JOBS) --target tests-threads
	@$(CTEST) --test-dir build-tsan -L threads -LE 'long|timing'

# The readers of files from outside, a minute each.
fuzz:
	@sh scripts/fuzz.sh

# Every op and the training step against the bounds of this machine. Quiet machine, about 5 minutes.
CONFIG ?= D
bench: all
	@$(BUILD)/instar bench kernels --config $(CONFIG) --dtype f32
	@$(BUILD)/instar bench kernels --config $(CONFIG) --dtype auto
	@$(BUILD)/instar bench train --config all --dtype f32
	@$(BUILD)/instar bench train --config all --dtype auto

# Other programs on the same training steps, in interleaved rounds; those whose path is not given are left out:
#   make bench-peers PYTHON=venv/bin/python LLMC=llm.c/train_gpt2 LLAMA=llama.cpp/build/bin
PEERS_CONFIGS ?= ABCD
PEERS_MODELS  ?= gpt2
PEERS_ROUNDS  ?= 5
bench-peers: all
	@python3 bench/peers/run.py --instar $(BUILD)/instar --python "$(PYTHON)" --llmc "$(LLMC)" --llama "$(LLAMA)" \
		--configs $(PEERS_CONFIGS) --models $(PEERS_MODELS) --rounds $(PEERS_ROUNDS) $(if $(COMPILE),--compile) $(PEERS_OPTIONS)

# The tables of docs/performance.md.
bench-tables: all
	@python3 bench/tables.py --instar $(BUILD)/instar

lint: layers
	@sh scripts/lint.sh

layers:
	@sh scripts/check-layers.sh

fmt:
	@sh scripts/install-deps.sh lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# The reference of every option, written by the program itself.
docs: all
	@$(BUILD)/instar docs docs/reference

# Builds only where nothing is built yet, so that `make && sudo make install` leaves no file of root in the sources.
install:
	@test -x $(BUILD)/instar || $(MAKE) --no-print-directory all
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD) build-debug build-asan build-tsan build-fuzz
