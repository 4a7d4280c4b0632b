# Short names for commands. `make demo` and `make test` need Linux x86-64, apt, git, make and Python 3.11 or newer; they
# don't need root. They write to .venv/ and .local/ (FMN_LOCAL) only, which git ignores.

PYTHON ?= python3

.PHONY: setup up demo test faults compose bench check secrets

setup:
	@$(PYTHON) -I deploy/local/bootstrap.py

# Ctrl-C stops it. A script sends SIGTERM: make passes that on to what it runs, and SIGINT it doesn't.
up: setup
	@.venv/bin/forgetmenot up

demo: setup
	@.venv/bin/forgetmenot demo $(if $(SCAN),--scan "$(SCAN)")

test: setup
	@.venv/bin/pytest -n 3 --dist loadgroup --no-loadscope-reorder $(TESTS)

# Many cases on real servers while processes are killed and stopped, networks cut and disks filled; then checks the
# servers' data. SEED=n repeats a run, FAULTS=full is ten times as long.
faults: setup
	@FAULTS_SEED=$(SEED) FAULTS=$(FAULTS) .venv/bin/pytest -s tests/faults

# Runs docker-compose.yml with its own project name, secrets and ports, scales and restarts services under load, and
# removes everything. Without a Docker engine it skips and says so.
compose: setup
	@.venv/bin/pytest -s tests/compose

# Ratios to the bare libraries, also in bench.json. SMOKE=1: every row once, small. ROWS="letters outbox": only these.
bench:
	@$(PYTHON) -I deploy/local/bootstrap.py --bench
	@.venv/bin/python -m tests.bench $(if $(SMOKE),--smoke) $(ROWS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Creates the secrets of a deployment with containers, in secrets/ or FMN_SECRETS_FOLDER; with DEMO=1 also the .env of a
# trial deployment. See docs/runbook.md.
secrets: setup
	@.venv/bin/forgetmenot secrets $(if $(DEMO),--demo) $(if $(FMN_SECRETS_FOLDER),--folder "$(FMN_SECRETS_FOLDER)")
