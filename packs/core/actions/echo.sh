#!/bin/sh
# Prints a message.
set -eu
. "$(dirname "$0")/../lib/parameters.sh"

message='Hello, World!' uppercase=false
read_parameters message uppercase

if [ "$uppercase" = true ]; then
    printf '%s\n' "$message" | tr '[:lower:]' '[:upper:]'
else
    printf '%s\n' "$message"
fi
