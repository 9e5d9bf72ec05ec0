# Each target sets itself up from nothing: a virtual environment in the checkout and plain pip.
#
#   make demo ARGS='--http 127.0.0.1:0'        options of scowl-edge demo
#   make demo ARGS='--population 100000'       the same with a town of so many beside it
#   make test ARGS='tests/unit -k ladder'      options of pytest
#   make test PYTHON=python3.12                another interpreter
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
SCALE := $(VENV)/.scale
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak soak-short soak-virtual flex-courses stories laws polls flex-day dashboards faults screenshots clean install uninstall

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

# Nothing is downloaded before it is certain that an environment can be made.
# The demo needs far less than the tests, and whoever has the tests' tools has the demo's.
# A demo with a population needs compiled kernels besides.
$(STAMP): EXTRAS_HERE := opcua
$(SCALE): EXTRAS_HERE := opcua,scale
$(TOOLS): EXTRAS_HERE := opcua,scale,test,lint
$(STAMP) $(SCALE) $(TOOLS): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "scowl-edge needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Install one and name it: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its ensurepip is missing. On Debian and its kin, as root:" >&2; \
	  $(PYTHON) -c 'import sys; print("apt-get install python3-venv (or, of your version, python%d.%d-venv)" % sys.version_info[:2])' >&2; \
	  exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing what scowl-edge needs into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS_HERE)]'
	@touch $@ $(STAMP)

demo: $(if $(findstring --population,$(ARGS)),$(SCALE),$(STAMP)) ## Run the daemon on a simulated region; Ctrl-C ends it
	@exec $(BIN)/scowl-edge demo $(ARGS)

test: $(TOOLS) ## Run all tests; three at a time, since many of them wait
	@sh tests/system-packages.sh
	@echo "Compiling kernels of populations (once for each state of their sources; up to two minutes) ..."
	@$(BIN)/python -m scowl_edge.tracker.population.warm
	@exec $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

lint: $(TOOLS) ## Check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(dir $(wildcard scowl_edge/__init__.py simulators/__init__.py bench/__main__.py grafana/__main__.py))

bench: $(TOOLS) ## Measure CPU, memory and lag, and print tables
	@exec $(BIN)/python -m bench $(ARGS)

dashboards: $(TOOLS) ## Write grafana/*.json anew from the code beside them
	@$(BIN)/python -m grafana

faults: $(TOOLS) ## Write docs/faults.md anew from what the tests assert of each fault
	@$(BIN)/python tests/fault_matrix.py

screenshots: $(TOOLS) ## Draw the pictures of the README anew; needs Chromium and two minutes
	@$(BIN)/python tests/system/screenshots.py

soak: $(TOOLS) ## Run the daemon an hour through random faults, and compare all counters at its end
	@exec $(BIN)/python -m bench.soak --most-mb-an-hour 4 $(ARGS)

# The same code as `soak`, and a test of its own.
soak-short: $(TOOLS) ## The same in a minute
	@exec $(BIN)/python -m bench.soak --seconds 45 --clock-rate 5 --times 150 $(ARGS)

# Finished seeds stay in var/soak-virtual: Ctrl-C stops it, the same command goes on.
soak-virtual: $(TOOLS) ## Ten simulated years over a thousand seeds; writes docs/reliability.md; takes hours
	@exec $(BIN)/python -m simulators.world.soak --years 10 --seeds 1000 --state var/soak-virtual --report docs/reliability.md $(ARGS)

# The same courses as eight seeds of `make test`.
flex-courses: $(TOOLS) ## Courses of selections and limits on bad links from 1,000 seeds; writes its section of docs/reliability.md
	@PYTHONPATH=. exec $(BIN)/python tests/unit/dsr/flex_courses.py --seeds 1000 --report docs/reliability.md $(ARGS)

# The long forms of what `make test` runs, on the same code.
stories: $(TOOLS) ## Run the stories in real time with many more kills; takes hours
	@SCOWL_STORY=long exec $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 14400 tests/system/test_day_on_sockets.py tests/system/test_building_on_sockets.py tests/unit/world/test_crash_boundaries.py $(ARGS)

laws: $(TOOLS) ## Run the laws of the core on many more random regions
	@SCOWL_HYPOTHESIS=long exec $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 14400 tests/unit/control/test_laws.py $(ARGS)

# One hour lasts a minute.
flex-day: $(TOOLS) ## A street's whole day with and without selection, links cut, a manager killed; takes 40 minutes
	@SCOWL_FLEX_HOURS=24 exec $(BIN)/python -m pytest --timeout 7200 -s tests/system/test_flex_evening.py $(ARGS)

polls: $(TOOLS) ## A million polls on each kind of link under random faults: no wrong value; takes ten minutes
	@SCOWL_POLLS=1000000 exec $(BIN)/python -m pytest -n 2 --timeout 7200 tests/unit/drivers/test_no_wrong_value.py $(ARGS)

# PREFIX, DESTDIR, EXTRAS, SOURCE, PIP_OPTIONS and PURGE are explained in the script. Its environment is its own.
EXTRAS ?= opcua
export PREFIX DESTDIR EXTRAS SOURCE PIP_OPTIONS PURGE
install: ## As root: install the systemd service, or upgrade it; settings are kept
	@PYTHON=$(PYTHON) sh deploy/systemd/install.sh install

uninstall: ## As root: remove the service; PURGE=1 also removes its settings and data
	@sh deploy/systemd/install.sh uninstall

clean: ## Remove the environment and everything that was generated
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist var
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
