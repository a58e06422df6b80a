"""Objects as GeoParquet, GeoPackage or GeoJSON, batch by batch.

Rows are gathered to groups of one size before they are written, so neither memory nor the file
depends on how the batches were cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import geopandas
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pyogrio
import pyogrio.errors
import shapely

from geodl_lab.errors import OutputError
from geodl_lab.staging import check_ending, staged

GROUP = 50_000
"""Rows that are written at a time."""

GEOMETRY = "geodl_geometry"
"""Attribute of frames whose file should be of one geometry type: the rows alone do not tell."""

DIGITS = 9
"""Decimals of a degree in GeoJSON: a tenth of a millimetre."""


class Sink(Protocol):
    """Takes groups of rows of one format."""

    def __call__(self, frame: geopandas.GeoDataFrame) -> None:
        """Write a group."""
        ...


@dataclass
class ObjectWriter:
    """Takes batches of objects.

    Parameters
    ----------
    sink
        Writes a group of rows.
    template
        A frame without rows: the columns, their dtypes and the CRS of every batch.
    count
        Objects taken so far.
    written, waiting
        Objects that the file has, and batches for its next group.
    """

    sink: Sink
    template: geopandas.GeoDataFrame
    count: int = 0
    written: int = 0
    waiting: list[geopandas.GeoDataFrame] = dataclasses.field(default_factory=list)

    def write(self, frame: geopandas.GeoDataFrame) -> None:
        """Take a batch of any number of rows.

        Raises
        ------
        OutputError
            If its columns or its CRS are not the file's.
        """
        if list(frame.columns) != list(self.template.columns) or frame.crs != self.template.crs:
            raise OutputError(
                f"a batch has the columns {list(frame.columns)} in {frame.crs}, but the file has "
                f"{list(self.template.columns)} in {self.template.crs}; bring them to the same"
            )
        if len(frame):
            self.waiting.append(frame)
        self.count += len(frame)
        if self.count - self.written >= GROUP:
            self._flush(GROUP)

    def close(self) -> None:
        """Write what is left."""
        self._flush(1)

    def _flush(self, least: int) -> None:
        """Write groups while at least ``least`` rows wait."""
        rows = pandas.concat(self.waiting, ignore_index=True) if self.waiting else self.template
        while len(rows) >= least:
            self.sink(rows.iloc[:GROUP])
            self.written += len(rows.iloc[:GROUP])
            rows = rows.iloc[GROUP:]
        self.waiting = [rows] if len(rows) else []


@contextlib.contextmanager
def object_writer(
    path: Path, template: geopandas.GeoDataFrame, *, attrs: Mapping[str, Any]
) -> Iterator[ObjectWriter]:
    """Open a vector file for batches of objects; the file is complete at the end of the block.

    Parameters
    ----------
    path
        A new file whose ending is one of `VECTOR_DRIVERS`.
    template
        A frame like the batches, with or without rows: columns, dtypes and CRS are taken from it.
    attrs
        What the file says about how it was made, and with `GEOMETRY` the type of a layer.
    """
    parts = bool((template.geom_type == "MultiPolygon").any())
    template = template.iloc[:0].copy()
    template.attrs = dict(attrs) | ({GEOMETRY: "MultiPolygon"} if parts else {})
    try:
        with VECTOR_FORMATS[path.suffix.lower()](path, template) as sink:
            writer = ObjectWriter(sink, template)
            yield writer
            writer.close()
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise OSError(str(error)) from error


def write_objects(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """Write objects in the format that the ending of ``path`` names, with their attributes."""
    with object_writer(path, frame, attrs=frame.attrs) as writer:
        writer.write(frame)


def save_objects(
    frame: geopandas.GeoDataFrame, target: str | Path, *, overwrite: bool = True
) -> Path:
    """Write objects as GeoParquet, GeoPackage or GeoJSON (then in longitude and latitude).

    Raises
    ------
    OutputError
        If the file name's ending is none of these, or the file cannot be written.
    """
    target = Path(target)
    check_ending(target, tuple(VECTOR_DRIVERS))
    with staged(target, overwrite=overwrite) as path:
        write_objects(frame, path)
    return target


def read_attrs(path: Path) -> dict[str, str]:
    """Return what a file that we wrote says about how it was made."""
    if path.suffix.lower() == ".parquet":
        about = pyarrow.parquet.read_schema(path).metadata or {}
        return json.loads(about.get(b"PANDAS_ATTRS", b"{}"))
    if path.suffix.lower() == ".gpkg":
        return dict(pyogrio.read_info(path).get("layer_metadata") or {})
    with path.open(encoding="utf-8") as file:
        head = json.loads(file.readline().rstrip()[: -len("[")] + "[]}")
    return json.loads(head.get("description", "{}"))


def read_count(path: Path) -> int:
    """Return the number of objects in a file."""
    if path.suffix.lower() == ".parquet":
        return pyarrow.parquet.read_metadata(path).num_rows
    return int(pyogrio.read_info(path, force_feature_count=True)["features"])


def file_tags(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes as text; arrays as numbers with blanks between."""
    return {
        key: " ".join(map(str, value.tolist())) if isinstance(value, np.ndarray) else str(value)
        for key, value in attrs.items()
        if key != "_FillValue"
    }


@contextlib.contextmanager
def _parquet(path: Path, template: geopandas.GeoDataFrame) -> Iterator[Sink]:
    """Write a row group a group; what concerns the whole file is written at the end."""
    schema = _parquet_schema(template)
    about = dict(schema.metadata)
    geo = json.loads(about[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    boxes, kinds = [], set[str]()

    def sink(frame: geopandas.GeoDataFrame) -> None:
        boxes.append(frame.total_bounds)
        kinds.update(frame.geom_type.unique())
        rows = pandas.DataFrame(frame.to_wkb())
        writer.write_table(pyarrow.Table.from_pandas(rows, schema=schema, preserve_index=False))

    # Arrow's copy of the schema would hold the metadata of the start, and readers believe it.
    with pyarrow.parquet.ParquetWriter(path, schema, store_schema=False) as writer:
        yield sink
        column["geometry_types"] = sorted(kinds)
        if boxes:
            low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
            column["bbox"] = [*low.tolist(), *high.tolist()]
        writer.add_key_value_metadata({**about, b"geo": json.dumps(geo)})


def _parquet_schema(template: geopandas.GeoDataFrame) -> pyarrow.Schema:
    """Return the columns and metadata that geopandas itself would write."""
    file = io.BytesIO()
    template.to_parquet(file, index=False)
    schema = pyarrow.parquet.read_schema(file)
    for index, field in enumerate(schema):
        if pyarrow.types.is_null(field.type):  # text in a frame that has no rows to show it
            schema = schema.set(index, field.with_type(pyarrow.string()))
    return schema


@contextlib.contextmanager
def _geopackage(path: Path, template: geopandas.GeoDataFrame) -> Iterator[Sink]:
    """Append group after group; one stream would keep the whole spatial index in memory."""
    kind, about = _kind(template), {"layer_metadata": file_tags(template.attrs)}
    how = {"geometry_type": kind, "promote_to_multi": kind.startswith("Multi")}

    def sink(frame: geopandas.GeoDataFrame, **more: Any) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")
            frame.to_file(path, driver="GPKG", engine="pyogrio", **how, **more)

    sink(template, **about)
    yield lambda frame: sink(frame, mode="a")


@contextlib.contextmanager
def _geojson(path: Path, template: geopandas.GeoDataFrame) -> Iterator[Sink]:
    """Write a feature a line; GDAL reads a GeoJSON file whole before it appends to it."""
    head = {"type": "FeatureCollection", "name": path.stem}
    head["description"] = json.dumps(file_tags(template.attrs))
    comma = ""

    def sink(frame: geopandas.GeoDataFrame) -> None:
        nonlocal comma
        for feature in _features(frame):
            file.write(f"{comma}\n{feature}")
            comma = ","

    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "features": [')
        yield sink
        file.write("\n]}\n")


def _features(frame: geopandas.GeoDataFrame) -> Iterator[str]:
    """Yield rows as RFC 7946 features: in degrees, outer rings counter-clockwise, holes not."""
    shapes = frame.geometry
    if frame.crs is not None:  # RFC 7946 knows nothing else
        shapes = shapes.to_crs(4326)
        shapes = shapely.transform(shapes.to_numpy(), lambda xy: xy.round(DIGITS))
    texts = shapely.to_geojson(shapely.orient_polygons(np.asarray(shapes)))
    rows = pandas.DataFrame(frame.drop(columns=frame.geometry.name)).astype(object)
    rows = rows.where(rows.notna(), None)  # JSON has no NaN
    for row, text in zip(rows.to_dict("records"), texts, strict=True):
        properties = json.dumps(row, ensure_ascii=False, allow_nan=False)
        yield f'{{"type": "Feature", "properties": {properties}, "geometry": {text}}}'


def _kind(template: geopandas.GeoDataFrame) -> str:
    """Return the geometry type of a layer: points have their boxes as columns."""
    return template.attrs.get(GEOMETRY) or ("Point" if "xmin" in template else "Polygon")


VECTOR_FORMATS = {".parquet": _parquet, ".gpkg": _geopackage, ".geojson": _geojson}
VECTOR_DRIVERS = {".parquet": "Parquet", ".gpkg": "GPKG", ".geojson": "GeoJSON"}
"""GDAL's name of the format that an ending stands for."""
