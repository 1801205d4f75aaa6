#!/bin/sh
# Runs shell text; what it prints and its exit code are passed on.
set -eu
. "$(dirname "$0")/../lib/parameters.sh"

command= directory=
read_parameters command directory

[ -n "$command" ] || complain 'command: is missing'
if [ -n "$directory" ]; then
    cd -- "$directory" || complain "directory: can't go to '$directory'"
fi

exec sh -c "$command" </dev/null
