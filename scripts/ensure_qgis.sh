#!/usr/bin/env bash
# Print the path of a Python that imports qgis (Debian's QGIS); every other word goes to stderr.
# Uses the one that is there; as root on Debian or Ubuntu installs it (a minute, 265 MB).
set -euo pipefail

PYTHON=${GEODL_QGIS_PYTHON:-/usr/bin/python3}

works() {
    QT_QPA_PLATFORM=offscreen "$PYTHON" -c 'import qgis.core' >/dev/null 2>&1
}

works && { echo "$PYTHON"; exit 0; }

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "No QGIS found: installing one with apt-get (once)." >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if { apt-get update && apt-get install -y --no-install-recommends qgis python3-qgis; } \
        >"$log" 2>&1 && works; then
        rm -f "$log"
        echo "$PYTHON"
        exit 0
    fi
    tail -n 20 "$log" >&2
fi

cat >&2 <<'MESSAGE'
The client tests need QGIS with its Python bindings, and none was found. Install it, for example
    sudo apt-get update && sudo apt-get install -y --no-install-recommends qgis python3-qgis
or name a Python that imports qgis: GEODL_QGIS_PYTHON=/path/to/python3 make test-clients
MESSAGE
exit 1
