#!/usr/bin/env bash
# Print the path of a Chromium for the browser tests; every other word goes to stderr.
# Uses the one that is there; as root on Debian or Ubuntu installs one, and a font for what it shows;
# else says what to run.
set -euo pipefail

find_chromium() {
    local name path
    for name in "${GEODL_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        # A name on PATH that cannot start (the snap stub of Ubuntu's chromium-browser) does not count.
        if [ -n "$name" ] && path=$(command -v "$name") && "$path" --version >/dev/null 2>&1; then
            echo "$path"
            return 0
        fi
    done
    return 1
}

find_chromium && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "No Chromium found: installing one with apt-get (once)." >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1 \
        && find_chromium; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log" >&2
fi

cat >&2 <<'MESSAGE'
The browser tests need Chromium or Chrome, and none was found. Install one, for example
    sudo apt-get update && sudo apt-get install -y chromium
or name yours: GEODL_CHROMIUM=/path/to/chrome make test
MESSAGE
exit 1
