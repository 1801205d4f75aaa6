#!/bin/sh
# Make .venv with a Python of at least 3.11 that really is one (not a shim of a version manager), and install into it.
# Usage: scripts/venv.sh DIRECTORY SET     SET is a file of requirements/: demo, server, unit, dev
set -eu

venv=$1
set=$2
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# sys.executable is the program itself, also behind a shim or a chain of links.
real_python() {
    command -v "$1" >/dev/null 2>&1 || return 1
    "$1" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ] && [ "$PYTHON" != python3 ]; then
        real_python "$PYTHON" && return
        say "PYTHON=$PYTHON is not a Python of at least 3.11"
        exit 2
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3 python; do
        real_python "$name" && return
    done
    say "Python 3.11 or newer is needed and none was found on PATH; name one with: make PYTHON=/path/to/python3"
    exit 2
}

# Debian packs venv's pip apart from Python.
need_ensurepip() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $package (this Python can't make virtual environments without it)"
        apt-get install -qq -y --no-install-recommends "$package" >/dev/null 2>&1 || {
            apt-get update -qq
            apt-get install -qq -y --no-install-recommends "$package" >/dev/null
        }
    fi
    "$1" -c 'import venv, ensurepip' 2>/dev/null && return
    say "$1 can't make virtual environments; install its venv module first, e.g. with: sudo apt-get install $package"
    exit 2
}

# One that was moved, or whose Python has gone, is worth nothing.
if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
    python=$(find_python)
    need_ensurepip "$python"
    say "making $venv with $python"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

say "installing attune-agent and requirements/$set.txt into $venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Only files whose hashes are locked, and no build tools that aren't; then this project, which brings nothing along.
for file in packaging "$set"; do
    "$venv/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r "requirements/$file.txt"
done
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
