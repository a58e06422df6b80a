"""What a user of the ArcGIS API for Python does; run by a Python that has it, says JSON.

`stand_ins` stands in for torch, which ``arcgis.learn`` imports.
"""

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")


import stand_ins  # noqa: E402, F401
from arcgis.gis import GIS  # noqa: E402
from arcgis.learn import Model  # noqa: E402

TASK = json.load(sys.stdin)
SOURCE = {"uri": TASK["raster"]}
CPU = {"processorType": "CPU"}


def connect(**who):
    """Sign in as the task says, over TLS with the server's own authority."""
    return GIS(f"{TASK['url']}/portal", verify_cert=True, ca_bundles=TASK["ca"], **who)


def model(tools, name):
    """Return a model of the list by its name."""
    return next(one for one in tools.list_deep_learning_models() if name in str(one))


def models(gis, tools):
    """List the models and describe one."""
    listed = sorted(str(one) for one in tools.list_deep_learning_models())
    return {"listed": listed, "query": model(tools, "naip-landcover").query_info()}


def classify(gis, tools):
    """Classify a raster, then read what came out."""
    item = tools.classify_pixels_using_deep_learning(
        SOURCE, model(tools, "naip-landcover"), output_classified_raster="ag_lc", context=CPU
    )
    layer = item.layers[0]
    places = [{"x": x, "y": y, "spatialReference": TASK["crs"]} for x, y in TASK["places"]]
    tiff = layer.export_image(
        bbox={**TASK["extent"], "spatialReference": TASK["crs"]}, size=TASK["size"],
        export_format="tiff", f="image", save_folder=TASK["folder"], save_file="export.tif",
    )  # fmt: skip
    return {
        "item": item.id,
        "type": item.type,
        "title": gis.content.get(item.id).title,
        "identify": [layer.identify(place)["value"] for place in places],
        "table": [row["attributes"] for row in layer.attribute_table()["features"]],
        "tiff": tiff,
    }


def detect(gis, tools):
    """Find objects, suppress overlaps, then query them."""
    item = tools.detect_objects_using_deep_learning(
        SOURCE, model(tools, "naip-trees"), output_objects="ag_trees", run_nms=True,
        confidence_score_field="Confidence", class_value_field="Class", max_overlap_ratio=0.5,
        context=CPU,
    )  # fmt: skip
    layer = item.layers[0]
    found = layer.query(where="Confidence > 0", out_fields="*", return_geometry=True)
    return {
        "count": layer.query(return_count_only=True),
        "rows": [one.attributes for one in found.features],
        "geometries": [one.geometry for one in found.features],
        "none": layer.query(where="Class = 'no such class'", return_count_only=True),
    }


def fail(gis, tools):
    """Ask for what cannot be: the job says why, and the prepared item goes."""
    said = []
    for raster in ("/fileShares/scenes/none.tif", "/data/none.tif"):
        try:
            tools.classify_pixels_using_deep_learning(
                {"uri": raster}, model(tools, "naip-landcover"), output_classified_raster="ag_no"
            )
        except Exception as error:
            said.append(str(error))
    left = [one.title for one in gis.content.search("ag_no")]
    return {"said": said, "left": left}


def replace(gis, tools):
    """Run into an existing item: the service stays, its content changes."""
    landcover = model(tools, "naip-landcover")
    item = tools.classify_pixels_using_deep_learning(
        SOURCE, landcover, output_classified_raster="ag_twice", context=CPU
    )
    again = tools.classify_pixels_using_deep_learning(
        SOURCE, landcover, output_classified_raster=item, context=CPU
    )
    return {"before": item.id, "after": again.id, "url": again.url}


def cancel(gis, tools):
    """Cancel a long job and wait for its end."""
    long = {"uris": [SOURCE["uri"]] * 40}
    job = tools.classify_pixels_using_deep_learning(
        long, model(tools, "naip-landcover"), output_classified_raster="ag_long",
        process_all_raster_items=True, context=CPU, future=True,
    )  # fmt: skip
    time.sleep(1)
    job.cancel()
    deadline = time.monotonic() + 60
    while job.status in ("esriJobCancelling", "esriJobExecuting") and time.monotonic() < deadline:
        time.sleep(0.3)
    return {"status": job.status}


def packages(gis, tools):
    """Send a package, install it, use it, uninstall it."""
    properties = {"title": "mine", "type": "Deep Learning Package", "tags": ["test"]}
    item = gis.content.folders.get().add(item_properties=properties, file=TASK["package"]).result()
    package = Model(item)
    installed = package.install()
    listed = [str(one) for one in tools.list_deep_learning_models()]
    removed = package.uninstall()
    after = [str(one) for one in tools.list_deep_learning_models()]
    return {
        "item": item.id,
        "installed": installed,
        "listed": listed,
        "removed": removed,
        "after": after,
        "deleted": item.delete(),
    }


def chips(gis, tools):
    """Export chips of a raster without labels."""
    place = tools.export_training_data_for_deep_learning(
        SOURCE, "/fileShares/outputs/ag_chips", chip_format="TIFF", metadata_format="Export_Tiles",
        tile_size={"x": 64, "y": 64}, stride_size={"x": 64, "y": 64},
        context={"exportAllTiles": True},
    )  # fmt: skip
    objects = tools.detect_objects_using_deep_learning(
        {"uri": TASK["raster"].replace("scene.tif", "rgb.tif")}, model(tools, "tree-crowns"),
        output_objects="ag_crowns", model_arguments={"threshold": 0.1}, context=CPU,
    )  # fmt: skip
    labelled = tools.export_training_data_for_deep_learning(
        SOURCE, "/fileShares/outputs/ag_labels", objects.layers[0], chip_format="TIFF",
        metadata_format="PASCAL_VOC_rectangles", class_value_field="Classvalue",
        tile_size={"x": 8, "y": 8}, stride_size={"x": 64, "y": 64},
        input_mask_polygons=objects.layers[0],
    )  # fmt: skip
    return {"place": place, "labelled": labelled}


def arguments(gis, tools):
    """Send arguments, of which the client makes text, and a raster of our own by its layer."""
    bands = {"red": 1, "green": 2, "blue": 3, "nir": 4}
    layer = gis.content.search("scene", item_type="Image Service")[0].layers[0]
    item = tools.classify_pixels_using_deep_learning(
        layer, model(tools, "naip-landcover"), output_classified_raster="ag_bands", context=CPU,
        model_arguments={"bands": bands, "padding": None, "batch_size": 2},
    )  # fmt: skip
    places = [{"x": x, "y": y, "spatialReference": TASK["crs"]} for x, y in TASK["places"]]
    return {"identify": [item.layers[0].identify(place)["value"] for place in places]}


def token(gis, tools):
    """Sign in with a name and the key as its password."""
    other = connect(username="anybody", password=TASK["key"], use_gen_token=True)
    return {"same": other.users.me.username == gis.users.me.username}


def main():
    """Do the steps of the task; each says what it saw."""
    gis = connect(token=TASK["key"])
    tools = gis._tools.rasteranalysis
    print("\n" + json.dumps({name: globals()[name](gis, tools) for name in TASK["steps"]}))


main()
