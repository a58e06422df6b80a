#!/usr/bin/env bash
# Print the path of a Python with the ArcGIS API for Python, in an environment of its own.
#   scripts/ensure_arcgis.sh .venv-arcgis python3.11
# Esri's package is an outside client of the tests: nothing of ours imports it or ships with it.
set -euo pipefail

folder=$1
interpreter=${2:-python3}

if ! "$folder/bin/python" -c 'import arcgis.gis' >/dev/null 2>&1; then
    echo "Installing the ArcGIS API for Python into $folder (a minute)" >&2
    "$interpreter" -m venv --clear "$folder" >&2
    # six is imported by arcgis.raster but not declared.
    "$folder/bin/python" -m pip --disable-pip-version-check install -qq arcgis==2.4.4 six >&2
    "$folder/bin/python" -c 'import arcgis.gis' >&2
fi
echo "$PWD/$folder/bin/python"
