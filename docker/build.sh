#!/bin/sh
# Build one target of Dockerfile.agent:  docker/build.sh TARGET IMAGE
#
# BUILDER_IMAGE, INIT_IMAGE and OPERATOR_IMAGE replace the base images, PIP_INDEX_URL the package index; BUILD_CA names a
# PEM file that is trusted for it, BUILD_NETWORK the network of the build, DOCKER the client.
set -eu

cd "$(dirname "$0")/.."
set -- --target "$1" --tag "$2"
for name in BUILDER_IMAGE INIT_IMAGE OPERATOR_IMAGE PIP_INDEX_URL; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" --build-arg "$name=$value"
done
[ -z "${BUILD_CA:-}" ] || set -- "$@" --secret "id=ca,src=$BUILD_CA"
[ -z "${BUILD_NETWORK:-}" ] || set -- "$@" --network "$BUILD_NETWORK"
DOCKER_BUILDKIT=1 exec "${DOCKER:-docker}" build -f docker/Dockerfile.agent "$@" .
