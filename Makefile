# make demo [DURATION=30s]   the whole on this machine, rankings live in the terminal
# make test                  the tests (minutes)
# make test-long             those that take longer: larger data, every kill, every bad network; the faults' table in build/faults.md
# make test-cluster          those that need Kafka's servers (JDK 17 and Maven; the jars are fetched once)
# make test-cluster-long     all of those: every kill, larger data
# make stack-up [BROKERS=3] [ONLY=kafka,connect] [PORTS=kafka=19092,..]
#                            Kafka, Connect with Debezium, registry, Flink and PostgreSQL on loopback, for development
# make stack-down [DELETE=1] ends them (python -m tests.cluster.stack status: what runs where)
# make soak [N=10000] [MINUTES=..] [SEED=..] [WHAT=histories|resources]
#                            histories until N are done or the time is over; a failure prints the line that replays it
# make mutants [MUTANTS=300] changes the live engine in so many places, one at a time, and asks whether a test notices (hours)
# make bench [ONLY="whole drain"] [SCALE=small|full] [RESUME=1]   figures, and docs/benchmarks.md made of them
# make setup-dbt             .venv-dbt, in which the tests run dbt (make test does it by itself)
.PHONY: help setup setup-dbt demo test test-long test-cluster test-cluster-long stack-up stack-down soak mutants lint format lock bench

## Python keeps what it compiled, as users have it, for the hundreds of processes that tests start.
export PYTHONDONTWRITEBYTECODE :=

help:
	@sed -n 's/^# //p' Makefile

setup:
	@sh scripts/setup.sh

setup-dbt: setup
	@sh scripts/setup-dbt.sh

demo: setup
	@exec .venv/bin/topline demo $(if $(DURATION),--duration $(DURATION))

test: setup-dbt
	.venv/bin/python -m pytest -m "not long and not cluster" -n 2 --dist loadfile $(PYTEST)

test-cluster: setup
	@sh scripts/setup-cluster.sh
	.venv/bin/python -m pytest -m "cluster and not long" tests/cluster $(PYTEST)

test-cluster-long: setup
	@sh scripts/setup-cluster.sh
	.venv/bin/python -m pytest -m cluster tests/cluster $(PYTEST)

stack-up: setup
	@sh scripts/setup-cluster.sh
	@.venv/bin/python -m tests.cluster.stack up $(if $(BROKERS),--brokers $(BROKERS)) $(if $(ONLY),--only $(ONLY)) $(if $(PORTS),--ports $(PORTS))

stack-down:
	@.venv/bin/python -m tests.cluster.stack down $(if $(DELETE),--delete)

test-long: setup-dbt
	@sh scripts/test-long.sh $(PYTEST)

mutants: setup
	.venv/bin/python -m tests.mutation $(if $(MUTANTS),--mutants $(MUTANTS))

soak: setup
	.venv/bin/python -m tests.soak $(or $(WHAT),histories) $(if $(N),--count $(N)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock:
	.venv/bin/uv lock
	.venv/bin/uv export --quiet --frozen --no-emit-project --format requirements-txt --no-header -o requirements.lock
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header scripts/dbt.in -o scripts/dbt.lock

bench: setup
	.venv/bin/python -m bench $(if $(SCALE),--scale $(SCALE)) $(if $(RESUME),--resume) $(ONLY)
