# Everything here works on a fresh checkout by itself: `make bench`, or `make test`, and nothing else.

# Images of containers often set it: each of the hundreds of processes that tests start would compile
# the package anew, which takes longer than a short round does.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SERVER = build/pybench-server
PROBE = $(SERVER).probe
SERVER_SOURCES = $(wildcard server/*.[ch]) server/cflags server/probe/liburing.c server/probe/openssl.c \
	pybench/__init__.py
SOURCES = setup.py pyproject.toml $(SERVER_SOURCES) $(wildcard ext/*.[ch])
C_FILES = $(wildcard server/*.[ch] server/probe/*.c ext/*.[ch] tests/server/c/*.[ch] \
	tests/bench/bare/*.[ch] tests/fuzz/*.[ch] tests/soak/*.[ch])
SERVER_CFLAGS = $(shell cat server/cflags) $(CPPFLAGS) $(CFLAGS)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' pybench/__init__.py)
# Short rounds instead of a long one: a worker of asyncio_proto has one of two speeds at this count.
BENCH_ARGS ?= --func asyncio_proto,uvloop_proto,c_epoll --conns 10k --rounds 5 --runtime 2s \
	--warmup 500ms
FUZZ_S ?= 60
SOAK_S ?= 600

.PHONY: help bench test server regression docs docs-commands docs-data gallery lint format asan tsan fuzz \
	freethreaded soak sixty sdist clean
.DEFAULT_GOAL := help

help:  ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

bench: $(VENV)/.for-bench  ## set everything up and run the main job, a minute (BENCH_ARGS=...)
	$(BIN)/python -m pybench $(BENCH_ARGS)

test: $(VENV)/.for-test  ## set everything up and run the whole suite (TEST_ARGS=...)
	$(BIN)/python -m tests $(TEST_ARGS)

server: $(SERVER)  ## the load server alone, without Python, for a machine that only generates load

regression: $(VENV)/.for-test  ## Python rows against C rows as ratios, two minutes (REGRESSION_ARGS=...)
	$(BIN)/python -m pytest tests/regression $(REGRESSION_ARGS)

docs: $(VENV)/.for-docs  ## the site, into build/site; no link may lead nowhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --config-file .mkdocs.yml

docs-commands: $(VENV)/.for-docs  ## run every command of the pages, and the GitHub action, an hour (DOCS_ARGS=docs/race.md)
	$(BIN)/python tests/docs/run_commands.py $(DOCS_ARGS)
	$(if $(DOCS_ARGS),,$(BIN)/python tests/docs/run_action.py)

docs-data: $(VENV)/.for-test  ## measure the figures of docs/findings.md anew, four minutes (DATA_ARGS=...)
	$(BIN)/python tests/bench/docs_data.py $(DATA_ARGS)

gallery: $(VENV)/.for-test  ## race today's rows under each CPython and transport: docs/gallery, eight minutes (GALLERY_ARGS=...)
	$(BIN)/python tests/bench/gallery.py $(GALLERY_ARGS)

lint: $(VENV)/.for-lint  ## ruff, mypy --strict, the layers of the tree, clang-format, clang-tidy, -fanalyzer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
	clang-format --dry-run --Werror $(C_FILES)
	printf '%s\n' server/*.c ext/echo.c ext/shares.c | \
		xargs -P `nproc` -I FILE clang-tidy --quiet FILE -- -std=gnu11 -DHAVE_LIBURING -DHAVE_OPENSSL
	.ci/analyze $(BIN)/python

format: $(VENV)/.for-lint  ## put every file into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(C_FILES)

asan: $(VENV)/.for-test  ## the server, extension and C unit tests under ASan and UBSan
	.ci/asan $(BIN)/python

fuzz: $(VENV)/.for-fuzz  ## the server's requests and options, readers of files and replies, FUZZ_S=60 seconds each
	tests/fuzz/run $(FUZZ_S) $(abspath $(BIN))/python

tsan: $(VENV)/.for-test  ## the server, extension and C unit tests under ThreadSanitizer
	.ci/tsan $(BIN)/python

freethreaded: $(VENV)/.for-test  ## extensions, rows and workers under a CPython without the GIL, built once (8 minutes)
	.ci/freethreaded $(BIN)/python

soak: $(VENV)/.for-test  ## sessions in which all is killed, stopped, cut off or refused, SOAK_S=600 seconds
	$(BIN)/python -m tests.soak --seconds $(SOAK_S) $(SOAK_ARGS)

sixty: $(VENV)/.for-test  ## 30,000 and 60,000 connections to every kind of row, in a guest, 20 minutes
	.ci/system-packages sixty
	$(BIN)/python tests/bench/sixty.py build/sixty $(SIXTY_ARGS)

sdist: $(VENV)/.for-bench  ## a source distribution in dist/
	$(BIN)/python -m pip install -qq build
	$(BIN)/python -m build --sdist --outdir dist

clean:  ## remove what was built; the venv too
	rm -rf $(VENV) build dist *.egg-info pybench/bin pybench/*.so

# --- the load server alone: cc, and liburing and OpenSSL where they are ----------------------------

$(SERVER): $(SERVER_SOURCES)
	@echo '#include <stdio.h>' | $(CC) -E - >/dev/null || { echo "needs a C compiler and the C" \
		"library's headers (Debian: gcc libc6-dev)" >&2; exit 1; }
	@mkdir -p $(@D) && rm -f $(PROBE) $(PROBE)-tls
	@$(CC) $(SERVER_CFLAGS) server/probe/liburing.c $(LDFLAGS) -luring -o $(PROBE) 2>/dev/null || echo "no liburing 2.3 or" \
		"later: without the engine uring (Debian: install liburing-dev, then make -B server)"
	@$(CC) $(SERVER_CFLAGS) server/probe/openssl.c $(LDFLAGS) -lssl -lcrypto -o $(PROBE)-tls 2>/dev/null || \
		echo "no OpenSSL 3: without TLS (Debian: install libssl-dev, then make -B server)"
	$(CC) $(SERVER_CFLAGS) -DPYBENCH_VERSION='"$(VERSION)"' server/*.c \
		$(LDFLAGS) `test ! -e $(PROBE) || echo -DHAVE_LIBURING -luring` \
		`test ! -e $(PROBE)-tls || echo -DHAVE_OPENSSL -lssl -lcrypto` -lm -o $@
	@rm -f $(PROBE) $(PROBE)-tls

# --- set-up: each purpose has its stamp in the venv ---------------------------------------------

$(BIN)/python:
	.ci/system-packages build
	$(PYTHON) -m venv $(VENV)

$(VENV)/.for-bench: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -qq --editable '.[all]'
	touch $@

$(VENV)/.for-test: $(BIN)/python $(SOURCES)
	.ci/system-packages test
	$(BIN)/python -m pip install -qq --editable '.[test]'
	touch $@

$(VENV)/.for-fuzz: $(BIN)/python $(SOURCES)
	.ci/system-packages fuzz
	$(BIN)/python -m pip install -qq --editable '.[test,fuzz]'
	touch $@

$(VENV)/.for-docs: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -qq --editable '.[test,docs]'
	touch $@

# what those three add to .for-test, for .ci/run: each would build the extensions anew
$(VENV)/.for-checks: $(VENV)/.for-test
	.ci/system-packages lint
	.ci/system-packages fuzz
	$(BIN)/python .ci/requirements lint fuzz docs >$(VENV)/checks.txt
	$(BIN)/python -m pip install -qq --requirement $(VENV)/checks.txt
	touch $(VENV)/.for-lint $(VENV)/.for-fuzz $(VENV)/.for-docs $@

$(VENV)/.for-lint: $(BIN)/python pyproject.toml
	.ci/system-packages lint
	$(BIN)/python -m pip install -qq --editable '.[test,lint]'
	touch $@
