"""Imports point one way, heavy libraries stay where they belong, and the import is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "geodl_lab"

# From the bottom up; a module imports from lower rows only (within a folder, freely downwards).
ROWS = (
    (
        "errors",
        "checks",
        "settings",
        "_version",
        "nets",
        "nodata",
        "quads",
        "html_pieces",
        "locks",
        "threaded",
    ),
    ("addresses", "grid", "local_server", "inputs", "decoders", "devices", "json_fields"),
    ("package", "deepomatic_spec"),
    ("masks", "runtime", "bands", "checkpoints"),
    ("detections", "options", "staging"),
    ("receptive", "heads", "overlaps", "regions", "vector_files"),
    ("answers", "dense_boxes", "peaks", "stitching"),
    ("boxes", "finders"),
    ("planning",),
    ("cards",),
    ("card_html",),
    ("packages",),
    ("inference",),
    ("raster",),
    ("sources",),
    ("cells", "lazy_blocks", "raster_files", "seams", "dates"),
    ("resample", "outputs"),
    ("fits", "styles", "thinning"),
    ("lazy", "runs", "chips", "windowed", "totals"),
    ("pixels", "raster_card", "plot_axes", "vectors", "file_runs"),
    ("objects", "recognition", "plot_objects"),
    ("plotting",),
    ("steps", "mosaics", "fetch"),
    ("files", "exports"),
    ("photos", "photo_crops", "photo_models", "photo_tensors"),
    ("photo_answers", "annotations"),
    ("demo", "zoo_cards"),
    ("maps",),
    ("accessor",),
    ("job_wire", "job_html", "job_files", "remote_rasters"),
    ("remote_jobs",),
    ("job_client", "jupyter"),
    ("jobs",),
    ("server",),
    ("dashboard",),
    ("cli",),
    ("__main__",),
    ("testing",),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
TORCH = {
    "devices", "runtime", "receptive", "heads", "answers", "dense_boxes", "boxes", "nets",
    "packages", "testing",
}  # fmt: skip
PLAIN = {
    "errors", "checks", "settings", "_version", "nodata", "quads", "grid", "masks", "detections",
    "inputs", "decoders", "package", "bands", "checkpoints", "options", "json_fields",
    "deepomatic_spec",
}  # fmt: skip
FOLDERS = {"packages", "exports", "maps", "jobs", "server", "dashboard"}
WEB = {"fastapi", "starlette", "uvicorn"}
FRAMES = {"geopandas", "pandas", "pyogrio", "pyarrow", "dask"}


def modules():
    """Top part of each module's name, and its file."""
    for file in sorted(ROOT.rglob("*.py")):
        name = file.relative_to(ROOT).with_suffix("").parts[0]
        if file != ROOT / "__init__.py":
            yield pytest.param(name, file, id=str(file.relative_to(ROOT)))


def imported(file):
    """All modules that a file imports anywhere but for type checking: (dotted name, line)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: relative import"
            if node.module == "geodl_lab":
                yield from ((f"geodl_lab.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def tops(file):
    """First parts of the names of other packages that a file imports."""
    return {name.partition(".")[0] for name, _ in imported(file)} - {"geodl_lab"}


@pytest.mark.parametrize(("name", "file"), list(modules()))
def test_imports_point_down(name, file):
    assert name in RANK, f"{name} has no row: say where it belongs"
    for module, line in imported(file):
        if module.startswith("geodl_lab."):
            other = module.split(".")[1]
            fine = RANK[other] < RANK[name] or (name == other and name in FOLDERS)
            assert fine, f"{file.name}:{line}: {name} imports {other}"


@pytest.mark.parametrize(("name", "file"), list(modules()))
def test_heavy_libraries_stay_in_their_modules(name, file):
    libraries = tops(file)
    assert "torchvision" not in libraries
    assert ("torch" in libraries) <= (name in TORCH)
    assert ("dask" in libraries) <= (name in {"lazy", "lazy_blocks"})
    assert not libraries & WEB or name == "server"
    assert "sqlalchemy" not in libraries or name == "jobs"
    if RANK[name] <= RANK["inference"] and name not in {"staging", "vector_files"}:
        assert not libraries & FRAMES
    if name in PLAIN:
        assert libraries <= {"numpy", *sys.stdlib_module_names}


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_there_are_no_cycles_in_a_folder(folder):
    files = [file for file in (ROOT / folder).rglob("*.py") if file.stem != "__init__"]
    graph = {
        ".".join(["geodl_lab", *file.relative_to(ROOT).with_suffix("").parts]): {
            module for module, _ in imported(file)
        }
        for file in files
    }
    while graph:
        free = [name for name, wants in graph.items() if not wants & (graph.keys() - {name})]
        assert free, f"these import each other: {sorted(graph)}"
        for name in free:
            del graph[name]


def test_the_import_is_quick_and_without_torch():
    code = (
        "import sys, time; import geodl_lab, xarray; used = time.process_time();"
        "heavy = {'torch', 'dask', 'geopandas', 'rasterio', 'matplotlib'} & set(sys.modules);"
        "assert hasattr(xarray.DataArray, 'dl') and hasattr(xarray.Dataset, 'dl');"
        "print(used, *heavy)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True
    )
    seconds, *heavy = answer.stdout.split()
    assert not heavy
    assert float(seconds) < 1
    assert answer.stderr == ""
