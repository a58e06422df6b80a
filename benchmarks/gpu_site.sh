#!/usr/bin/env bash
# Packs what geodl_lab imports and a bare CUDA machine (Python 3.12, torch, numpy, scipy,
# safetensors, filelock, fsspec, pyyaml) lacks into one archive: gpu_site.sh gpu-site.tar.xz
set -euo pipefail
target=$(realpath -m "${1:?give the archive to write}")
python=${PYTHON:-python3}
here=$(dirname "$(realpath "$0")")
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
# Not the pins' rasterio: 1.4.4 is 36 MB, 1.4.3 is 22.
sed '/^rasterio==/d' "$here/../constraints.txt" >"$site.pins"
platforms=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014; do
	platforms+=(--platform "${tag}_x86_64")
done
"$python" -m pip install -q --no-deps --no-compile --only-binary=:all: --python-version 3.12 \
	--implementation cp "${platforms[@]}" -c "$site.pins" --target "$site" \
	rasterio==1.4.3 affine attrs certifi click cligj pyparsing \
	rioxarray xarray pandas pyproj packaging python-dateutil six \
	dask toolz cloudpickle partd locket fsspec pyyaml filelock importlib_metadata lazy-importer zipp \
	odc-geo cachetools shapely geopandas
rm -f "$site.pins"
find "$site" -type d -name tests -prune -exec rm -rf {} +
tar cJf "$target" -C "$site" .
size=$(stat -c %s "$target")
echo "$target: $((size / 1000000)) MB"
((size <= 40000000)) || { echo "more than the 40 MB that may travel" >&2; exit 1; }
