#!/bin/sh
# Write requirements/*.txt: the exact version of everything that is installed, with the hashes of its files, for every
# Python from 3.11 on and both architectures. What is there keeps its version as long as it fits pyproject.toml.
# Usage: scripts/lock.sh [--upgrade | --upgrade-package NAME]...
set -eu

cd "$(dirname "$0")/.."
uv=.venv/bin/uv

# Wheels only: what is compiled by the one who installs takes build tools that nobody has locked.
compile() {
    file=requirements/$1.txt
    shift
    "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --only-binary :all: \
        --annotation-style line --custom-compile-command "make lock" --output-file "$file" "$@"
}

# All of them agree: `dev` holds everything, and the others hold parts of it.
compile dev --extra demo --extra server --group test --group lint --group packaging "$@" \
    pyproject.toml build/requirements.txt
part() { compile "$@" --constraint requirements/dev.txt --upgrade; }
part packaging --group packaging
part build build/requirements.txt
part demo --extra demo pyproject.toml
part server --extra server pyproject.toml
part unit --extra server --group test pyproject.toml
