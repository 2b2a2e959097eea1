#!/bin/sh
# Makes .venv-dbt from its lock file: dbt with its adapters, which pin other versions than Topline. Runs again only when the lock changed.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv-dbt/.locked
if [ -f "$stamp" ] && cmp -s scripts/dbt.lock "$stamp"; then exit 0; fi
if [ ! -x .venv/bin/uv ]; then
    echo "dbt's environment is made by .venv's uv, and there is none. Run: make setup" >&2
    exit 1
fi

echo "setting up .venv-dbt (seconds; 0.5 GB)" >&2
# The system's certificates, as pip takes them (two names: older uv, newer uv).
export UV_NATIVE_TLS=true UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never
.venv/bin/uv venv --quiet --clear --python '>=3.11,<3.14' .venv-dbt
.venv/bin/uv pip sync --quiet --require-hashes --python .venv-dbt scripts/dbt.lock
cp scripts/dbt.lock "$stamp"
