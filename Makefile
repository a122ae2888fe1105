# `make help` lists what can be asked for. Each does its own set-up first; see tools/setup.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# One version of everything for every Python we run on; wheels only, so that nothing is compiled.
lock := .venv/bin/uv pip compile --quiet --upgrade --universal --fork-strategy fewest \
	--python-version 3.11 --generate-hashes --only-binary :all: --no-emit-index-url \
	--no-annotate --custom-compile-command 'make lock'

# The rig has Debian's packages for what these ask for, and a compiler (see tests/rig/make-rig.sh).
rig := picamera2==0.3.38 lgpio openexr pidng simplejpeg videodev2
rig_lock := $(subst --only-binary :all:,--no-deps,$(lock:3.11=3.13))

# npm notes where to send each author money; a lock needs no address of anybody.
without_addresses := const fs = require("fs"), lock = JSON.parse(fs.readFileSync("package-lock.json")); \
	for (const one of Object.values(lock.packages)) { delete one.funding; if (/:/.test(one.license)) delete one.license; } \
	fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");

.PHONY: help demo test rig hardware check long pictures format lock clean
help: ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## all set-up, then a kit on this computer
	@tools/setup demo
	@.venv/bin/attune demo

test: ## all set-up, then every test that this machine can run
	@tools/setup test
	@.venv/bin/python tools/tiers.py

rig: ## all set-up, then the Pi's camera on the real picamera2 and libcamera
	@tools/setup test
	@.venv/bin/python tools/tiers.py rig

hardware: ## on a real kit, as root: try every part of it and write a report to keep
	attune hardware

check: ## all set-up, then what a reviewer asks for
	@tools/setup test
	@.venv/bin/python tools/tiers.py check

long: ## all set-up, then what takes hours: networks and sticks, a thousand sequences, every rule of the gate broken
	@tools/setup test
	@tests/rig/vm.sh full
	@.venv/bin/python tools/sequences.py
	@.venv/bin/python tools/mutants.py

pictures: ## all set-up, then the pictures of README.md and docs/ made anew
	@tools/setup test
	@ATTUNE_DRAWN=family .venv/bin/pytest -q -n 2 tests/browser
	@.venv/bin/python -m tools.guide_pictures

format: ## put the code into its form
	@tools/setup test
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

lock: ## renew the locked versions and digests of what we install
	@tools/setup test
	$(lock) pyproject.toml -o requirements/kit.txt
	$(lock) pyproject.toml --extra test --extra dev -c requirements/kit.txt -o requirements/test.txt
	echo hatchling | $(lock) - -c requirements/test.txt -o requirements/build.txt
	printf '%s\n' $(rig) | $(rig_lock) - -o requirements/rig.txt
	npm update --package-lock-only --loglevel=error
	node -e '$(without_addresses)'
	cd tests/stores && npm update --package-lock-only --loglevel=error && node -e '$(without_addresses)'
	! grep -nE '://|^-' requirements/*.txt package-lock.json tests/stores/package-lock.json

clean: ## remove everything that set-up and the tests made
	rm -rf .venv node_modules tests/stores/node_modules web_ui/static/vendor appliance/viewer/viewer.html build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find appliance firmware web_ui tests tools -name __pycache__ -prune -exec rm -rf {} +
