# Every target sets up what it needs: packages of the system (by apt-get, as root only) and a
# virtual environment with the locked tools.  `PYTHON=python3.12 make test` uses another
# Python, in an environment of its own.

PYTHON ?=
PYTHONS ?= python3.11 python3.12 python3.13
PYTEST_ARGS ?= -n 6 --dist loadfile --no-loadscope-reorder
UV_VERSION := 0.13.9
# How many groups `make simulate` runs, and the seed of the first.
SEEDS ?= 10000
FIRST ?= 0
# The servers that `make test-servers` takes: that of `make test`, and those of other versions.
SERVERS ?= own 3.4.14 3.6.3 3.9.3
# What `make mutate` tries: with ALL=1 each mistake it knows, and of FILES only.
ALL ?=
FILES ?=
# What `make benchmark` measures, all figures if nothing is named, whether it takes its time, and
# whether it names other programs beside zkexec.
FIGURES ?=
QUICK ?=
PEERS ?=
# What `make scaling-real` measures: how many light members, how many of them in flight, and how many
# seconds a turn takes, on how many servers; SCENES names some of its scenes, nothing means all.
MEMBERS ?= 4000
WIDTH ?= 200
TURN_S ?= 2.5
ON_SERVERS ?= 1
SCENES ?=
# The empty Debian into which `make test-packages` installs.
ROOT_OF_DEBIAN := .roots/bookworm
# The Debian that `make test-systemd` boots.
ROOT_OF_SYSTEMD := .roots/systemd
# How long `make soak` lasts.
SECONDS ?= 3600

version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv$(if $(PYTHON),-$(call version_of,$(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The demo needs no tools: without a complete environment it makes a light one.
DEMO_VENV := $(if $(wildcard $(READY)),$(VENV),$(VENV)-light)

# What depends on how a server behaves: reading, groups, lost and wiped ensembles, operators.
TESTS_OF_SERVERS := $(sort $(wildcard $(addsuffix .py,$(addprefix test/, \
    shell/test_ensemble_* shell/test_group_* e2e/test_group_* e2e/test_*quorum* e2e/test_wiped_* \
    e2e/test_configuration e2e/test_operator_* e2e/test_tree* e2e/test_input_* \
    zookeeper/test_against_kazoo \
    zookeeper/test_sasl)))) test/ctl
# The ZooKeeper client: the session without input and output, and what drives it.
FILES_OF_CLIENT := $(patsubst %,src/zkexec/zookeeper/%.py, client client_events client_settings \
    connection connector conversation exchange frame_buffer jute name_lookup network pace \
    request_codec server_rotation session_requests session_state tls_connection watch_table)
, := ,
FLOORS_WITHOUT_SERVERS := $(wildcard test/core test/scenarios test/simulation)

export PYTHON
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: setup
setup: packages $(READY) ## Install everything: system packages, virtual environment, zkexec itself

.PHONY: packages
packages:
	@tools/setup packages $(VENV)

$(READY): pyproject.toml requirements-dev.txt tools/setup hatch_build.py src/zkexec/process/_starter.c
	@tools/setup venv $(VENV)
	@touch $@

.PHONY: all
all: setup lint types test ## What a change must pass before it is proposed

.PHONY: lint
lint: $(READY) ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended without thinking
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: types
types: $(READY) ## Check the types
	$(BIN)/mypy

.PHONY: test
test: setup ## Run all tests, also those with real processes and ZooKeeper servers
	$(BIN)/pytest $(PYTEST_ARGS)

.PHONY: test-core
test-core: $(READY) ## Run the tests of the core: fast, without servers
	$(BIN)/pytest $(PYTEST_ARGS) $(FLOORS_WITHOUT_SERVERS)

.PHONY: test-all-pythons
test-all-pythons: ## Run all tests on each of PYTHONS that is installed
	@for python in $(PYTHONS); do \
	    if "$$python" -c '' 2>/dev/null; then \
	        echo "== $$python"; $(MAKE) --no-print-directory test PYTHON="$$python" || exit 1; \
	    else \
	        echo "== $$python is not installed: skipped"; \
	    fi; \
	done

.PHONY: test-servers
test-servers: setup ## Run the tests of groups and operators on ZooKeeper 3.4, 3.6, 3.8 and 3.9
	@for server in $(filter-out own,$(SERVERS)); do tools/setup server $$server $(VENV) || exit 1; done
	@failed=; for server in $(SERVERS); do \
	    echo "== ZooKeeper $$server"; \
	    if [ $$server != own ]; then home="$(CURDIR)/.servers/$$server"; else home=$$ZOOKEEPER_HOME; fi; \
	    ZOOKEEPER_HOME="$$home" $(BIN)/pytest $(PYTEST_ARGS) $(TESTS_OF_SERVERS) || failed="$$failed $$server"; \
	done; [ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

.PHONY: coverage
coverage: $(READY) ## Check that the tests of the core, and of the client, reach each of their branches
	@echo "the tests of the core and of the client, side by side"
	@COVERAGE_FILE=.coverage.client; export COVERAGE_FILE; \
	    $(BIN)/coverage run --source=zkexec.zookeeper -m pytest -q \
	        $(filter-out $(TESTS_OF_SERVERS),$(wildcard test/zookeeper/test_*.py)) & \
	    ZKEXEC_SEEDS=300 ZKEXEC_GROUP_SEEDS=40 COVERAGE_FILE=.coverage.core \
	    $(BIN)/coverage run -m pytest -q --ignore-glob="*_mutants.py" $(FLOORS_WITHOUT_SERVERS) \
	        || { kill $$!; exit 1; }; \
	    wait $$!
	COVERAGE_FILE=.coverage.core $(BIN)/coverage report
	COVERAGE_FILE=.coverage.client $(BIN)/coverage report --include="$(subst $() ,$(,),$(FILES_OF_CLIENT))"

.PHONY: mutate
mutate: $(READY) ## Make a mistake or two in each function of the core, and list what no test notices
	@$(BIN)/python tools/mutate.py $(if $(ALL),--all) $(FILES)

.PHONY: simulate
simulate: $(READY) ## Simulate SEEDS whole groups, from seed FIRST on, on all cores
	@PYTHONPATH=test $(BIN)/python -m simulation.group.simulate $(SEEDS) $(FIRST)

.PHONY: scaling
scaling: $(READY) ## Measure simulated groups of 10 to 10,000 members: the table of docs/scaling.md
	@PYTHONPATH=test $(BIN)/python -m simulation.group.measure

.PHONY: scaling-real
scaling-real: setup ## Measure wide rollouts of MEMBERS light members on real servers, WIDTH in flight
	@PYTHONPATH=test $(BIN)/python -m benchmarks.wide --members $(MEMBERS) --width $(WIDTH) \
	    --turn $(TURN_S) --servers $(ON_SERVERS) $(SCENES)

.PHONY: benchmark
benchmark: setup ## Measure zkexec beside its references; QUICK=1: first impression, PEERS=1: more programs
	@tools/setup benchmark
	@$(if $(PEERS),tools/setup peers .peers)
	@PYTHONPATH=test $(BIN)/python -m benchmarks.run $(if $(QUICK),--quick) \
	    $(if $(PEERS),--peers .peers) $(FIGURES)

.PHONY: benchmark-web
benchmark-web: setup ## Measure zkexecctl web and exporter on a group of a thousand members
	@PYTHONPATH=test $(BIN)/python -m benchmarks.web

.PHONY: soak
soak: setup ## Keep a wrapper busy for an hour, or SECONDS, over a link that breaks
	@tools/setup benchmark
	@PYTHONPATH=test $(BIN)/python -m benchmarks.soak $(SECONDS)

.PHONY: charts
charts: $(READY) ## Draw the charts and tables of docs/performance.md from the published results
	@PYTHONPATH=test $(BIN)/python -m benchmarks.charts docs/performance.md docs/pictures

.PHONY: demo
demo: ## Watch a good push, a bad one and an undo, with a ZooKeeper of its own
	@tools/setup demo $(DEMO_VENV)
	@$(DEMO_VENV)/bin/python tools/demo.py

.PHONY: papers
papers: $(READY) ## Write the man pages, the completions and the drawn parts of the papers anew
	$(BIN)/python tools/draw_papers.py
	$(BIN)/python tools/draw_options.py
	$(BIN)/python tools/draw_phases.py
	$(BIN)/python tools/draw_metrics.py

.PHONY: pictures
pictures: setup ## Take the terminal pictures of the README anew, in a real rollout
	$(BIN)/python tools/take_pictures.py docs/pictures

.PHONY: screenshots
screenshots: setup ## Take the pictures of the web page anew, in a real rollout
	@PYTHONPATH=test $(BIN)/python tools/take_screenshots.py docs/pictures

.PHONY: frames
frames: setup ## Record the frames of SERVERS anew, which the tests of the ZooKeeper client play
	@for server in $(filter-out own,$(SERVERS)); do tools/setup server $$server $(VENV) || exit 1; done
	@for server in $(SERVERS); do \
	    if [ $$server != own ]; then home="$(CURDIR)/.servers/$$server"; else home=$$ZOOKEEPER_HOME; fi; \
	    ZOOKEEPER_HOME="$$home" PYTHONPATH=test $(BIN)/python tools/record_frames.py || exit 1; \
	done

.PHONY: dist
dist: $(READY) ## Build wheel, sdist, zipapps and Debian package into dist/, with SHA256SUMS
	@tools/setup dist $(VENV)
	@rm -rf dist
	@$(BIN)/python tools/build_dist.py dist

.PHONY: pyz
pyz: $(READY) ## Build the zipapps alone: dist/zkexec.pyz and dist/zkexecctl.pyz
	@$(BIN)/python tools/build_dist.py dist pyz

.PHONY: deb
deb: $(READY) ## Build the Debian package alone
	@tools/setup dist $(VENV)
	@$(BIN)/python tools/build_dist.py dist deb

.PHONY: test-packages
test-packages: setup dist ## Install what `make dist` builds into an empty Debian 12, and run a rollout
	@tools/setup roots $(ROOT_OF_DEBIAN)
	@ZKEXEC_DIST="$(CURDIR)/dist" ZKEXEC_ROOT="$(CURDIR)/$(ROOT_OF_DEBIAN)" \
	    $(BIN)/pytest test/packages

.PHONY: test-systemd
test-systemd: setup ## Run the units under a real systemd, which boots a Debian 12 in a container
	@tools/setup systemd $(ROOT_OF_SYSTEMD)
	@ZKEXEC_SYSTEMD_ROOT="$(CURDIR)/$(ROOT_OF_SYSTEMD)" $(BIN)/pytest test/managed

.PHONY: lock
lock: $(READY) ## Write requirements-dev.txt anew from the dependency group in pyproject.toml
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip compile pyproject.toml --group dev --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" --quiet --output-file requirements-dev.txt

.PHONY: clean
clean: ## Remove everything that was made here
	rm -rf .venv .venv-* .servers .peers .roots .axe .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache build dist
	rm -f src/zkexec/process/_starter*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
