#!/usr/bin/env bash
# Build the wheel and the sdist, install the wheel into an empty environment, run the demo there.
# usage: scripts/test_package.sh PYTHON   (one that has `build`); TORCH_INDEX as in the Makefile
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$(realpath -s "$1")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf dist
# The wheel is built from the sdist, so both are seen to be whole.
"$python" -m build --outdir dist . >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }
ls -l dist

"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check install -qq -c constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} dist/*.whl

for file in etc/jupyter/jupyter_server_config.d/geodl_lab.json etc/jupyter/voila.json \
    share/jupyter/voila/templates/lab-offline/index.html.j2; do
    test -s "$work/venv/$file" || { echo "test-package: pip did not install $file" >&2; exit 1; }
done

cd "$work"
where=$("$work/venv/bin/python" -c 'import geodl_lab; print(geodl_lab.__file__)')
case $where in "$work"/*) ;; *) echo "test-package: imported $where, not the wheel" >&2; exit 1 ;; esac
"$work/venv/bin/geodl" demo
for name in landcover.tif trees.parquet preview.png; do
    test -s "demo-output/$name" || { echo "test-package: demo-output/$name is missing" >&2; exit 1; }
done
echo "test-package: $(basename "$root"/dist/*.whl) runs the demo on its own"
