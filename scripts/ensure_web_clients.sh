#!/usr/bin/env bash
# Print the folder with the web clients of the tests, bundled: esri-leaflet and Esri's own SDK.
#   scripts/ensure_web_clients.sh .web-clients
# They are outside clients of the tests: nothing of ours imports them or ships with them.
set -euo pipefail

folder=$1
pages=$PWD/tests/clients/pages

if [ ! -f "$folder/dist/ready" ]; then
    command -v npm >/dev/null || {
        echo "The client tests need npm (Node.js 18 or newer): sudo apt-get install -y npm" >&2
        exit 1
    }
    echo "Installing the web clients into $folder (a minute, 400 MB)" >&2
    mkdir -p "$folder"
    cp "$pages/package.json" "$folder/"
    (cd "$folder" && npm install --no-audit --no-fund --loglevel=error) >&2
    cp "$pages/sdk.mjs" "$folder/"
    (
        cd "$folder"
        rm -rf dist
        node_modules/.bin/esbuild sdk.mjs node_modules/@arcgis/core/core/workers/RemoteClient.js \
            --bundle --format=esm --splitting --outdir=dist/sdk --entry-names='[name]' \
            --loader:.wasm=file --log-level=error
        cp -r node_modules/@arcgis/core/assets dist/assets
        cp node_modules/leaflet/dist/leaflet.js node_modules/leaflet/dist/leaflet.css \
            node_modules/esri-leaflet/dist/esri-leaflet.js dist/
        touch dist/ready
    ) >&2
fi
echo "$PWD/$folder/dist"
