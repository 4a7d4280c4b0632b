# Thin names over real commands. `make demo` and `make test` need Linux x86-64, apt, git, make and Python 3.11 or newer;
# root or not. Everything they make lies in .venv/ and .local/ (FMN_LOCAL), which git ignores.

PYTHON ?= python3

.PHONY: setup up demo test faults compose bench check secrets

setup:
	@$(PYTHON) -I deploy/local/bootstrap.py

up: setup
	@.venv/bin/forgetmenot up

demo: setup
	@.venv/bin/forgetmenot demo $(if $(SCAN),--scan "$(SCAN)")

test: setup
	@.venv/bin/pytest -n 3 --dist loadgroup --no-loadscope-reorder $(TESTS)

# Many cases on real servers while something is killed, stopped, cut off or filled up; then the servers are judged.
# SEED=n tells the same story again, FAULTS=full is ten times as long.
faults: setup
	@FAULTS_SEED=$(SEED) FAULTS=$(FAULTS) .venv/bin/pytest -s tests/faults

# docker-compose.yml, run for real under a project, secrets and ports of its own, scaled and rolled under load, and taken
# down again. Without a Docker engine it says so.
compose: setup
	@.venv/bin/pytest -s tests/compose

# Ratios against the bare libraries, in bench.json too. SMOKE=1: every row once, small; ROWS="letters outbox": these alone.
bench:
	@$(PYTHON) -I deploy/local/bootstrap.py --bench
	@.venv/bin/python -m tests.bench $(if $(SMOKE),--smoke) $(ROWS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The secrets of a deployment with containers, and with DEMO=1 the .env for a look at it; docs/runbook.md says more.
# FMN_SECRETS_FOLDER says where they go, if not into secrets/.
secrets: setup
	@.venv/bin/forgetmenot secrets $(if $(DEMO),--demo) $(if $(FMN_SECRETS_FOLDER),--folder "$(FMN_SECRETS_FOLDER)")
