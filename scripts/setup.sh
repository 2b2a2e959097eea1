#!/bin/sh
# Makes .venv from the lock file: with uv where it is there, else with Python's own venv and pip. Runs again only when the locks changed.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/.locked
if [ -f "$stamp" ] && cmp -s requirements.lock "$stamp" && [ -x .venv/bin/topline ]; then exit 0; fi

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null 2>&1 && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "Topline needs Python 3.11 or newer, and none is on the PATH. Install one, or name it: make PYTHON=/path/to/python3.11" >&2
    return 1
}

# Debian splits ensurepip off; without it venv leaves half an environment behind.
check_venv() {
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Python $version lacks venv. Install it, then run make again:" >&2
        echo "    sudo apt-get install python$version-venv" >&2
        exit 1
    fi
}

python=$(find_python)
if command -v uv >/dev/null 2>&1; then
    echo "setting up .venv with uv" >&2
    # The system's certificates, as pip takes them: behind a company's proxy uv's own do not do (two names: older uv, newer uv).
    export UV_NATIVE_TLS=true UV_SYSTEM_CERTS=true
    UV_PYTHON_DOWNLOADS=never uv sync --quiet --frozen --python "$python"
else
    check_venv "$python"
    echo "setting up .venv with $python (a minute or two)" >&2
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
cp requirements.lock "$stamp"
