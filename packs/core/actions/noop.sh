#!/bin/sh
# Does nothing and succeeds; prints a message when it was given one.
set -eu
. "$(dirname "$0")/../lib/parameters.sh"

message=
read_parameters message

if [ -n "$message" ]; then
    printf '%s\n' "$message"
fi
