#!/usr/bin/env bash
# Print the paths of two Pythons with pekat-vision-sdk 2.3.3 and 1.4.4, in environments of their own.
#   scripts/ensure_pekat.sh .venv-pekat python3.11
# They are outside clients of the tests: nothing of ours imports them or ships with them.
set -euo pipefail

folder=$1
interpreter=${2:-python3}

for version in 2.3.3 1.4.4; do
    place=$folder-$version
    if ! "$place/bin/python" -c 'import PekatVisionSDK, cv2' >/dev/null 2>&1; then
        echo "Installing pekat-vision-sdk $version into $place (half a minute)" >&2
        "$interpreter" -m venv --clear "$place" >&2
        "$place/bin/python" -m pip --disable-pip-version-check install -qq \
            "pekat-vision-sdk==$version" numpy opencv-python-headless >&2
        "$place/bin/python" -c 'import PekatVisionSDK, cv2' >&2
    fi
done
here() { case $folder in /*) echo "$folder" ;; *) echo "$PWD/$folder" ;; esac; }
echo "$(here)-2.3.3/bin/python $(here)-1.4.4/bin/python"
