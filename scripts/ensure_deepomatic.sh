#!/usr/bin/env bash
# Print the paths of two Pythons, separated by a colon: one with deepomatic-api 1.0.0 and one with
# 0.9.4, each in an environment of its own.
#   scripts/ensure_deepomatic.sh .venv-deepomatic python3.11
# Deepomatic's package is an outside client of the tests: nothing of ours imports it or ships with it.
set -euo pipefail

folder=$1
interpreter=${2:-python3}
pythons=()

for version in 1.0.0 0.9.4; do
    place=$folder/$version
    if ! "$place/bin/python" -c 'import deepomatic.api.client, numpy' >/dev/null 2>&1; then
        echo "Installing deepomatic-api $version into $place" >&2
        "$interpreter" -m venv --clear "$place" >&2
        "$place/bin/python" -m pip --disable-pip-version-check install -qq "deepomatic-api==$version" >&2
        "$place/bin/python" -c 'import deepomatic.api.client, numpy' >&2
    fi
    pythons+=("$PWD/$place/bin/python")
done
(IFS=:; echo "${pythons[*]}")
