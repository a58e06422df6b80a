"""Parameters of each task become its recipe; what cannot be told becomes one that fails."""

import json
import re

import pytest

from geodl_lab.jobs import recipes
from geodl_lab.jobs.recipes import Output, Ref
from geodl_lab.server.arcgis.parse import given_to, recipe_of
from geodl_lab.server.arcgis.references import Here
from geodl_lab.server.arcgis.tasks import TASKS, find_task

RASTER, MODEL = "/fileShares/images/a.tif", "naip-landcover"
A, M = (Ref("store", "images/a.tif"),), Ref("model", MODEL)


def parsed(task, **sent):
    return recipe_of(given_to(find_task(task), sent, Here("https://box")))


def classify(**sent):
    usual = {"inputRaster": RASTER, "outputClassifiedRaster": "lc", "model": MODEL}
    return parsed("ClassifyPixelsUsingDeepLearning", **usual | sent)


def test_classify_with_everything():
    arguments = {
        "padding": "56", "batch_size": "4", "Threshold": "0.5", "test_time_augmentation": "True",
        "own": "x", "empty": "",
    }  # fmt: skip
    recipe = classify(
        modelArguments=json.dumps(arguments), processAllRasterItems="True",
        context=json.dumps({"processorType": "CPU", "outSR": {"wkid": 4326}}),
    )  # fmt: skip
    assert recipe == recipes.Classify(
        A, M, Output("lc"),
        {"padding": 56, "batch_size": 4, "threshold": 0.5, "tta": True, "own": "x"},
        each=True, context=recipes.Context(device="cpu", out_crs="EPSG:4326"),
    )  # fmt: skip


def test_empty_parameters_count_as_absent():
    absent = classify(modelArguments="", processAllRasterItems="", context="", unknown="x")
    assert absent == classify() == recipes.Classify(A, M, Output("lc"))


def test_names_in_any_case_and_the_documented_misspelling():
    recipe = parsed(
        "ClassifyPixelsUsingDeepLearning",
        inputraster=RASTER, outputClassifedRaster="lc", Model=MODEL,
    )  # fmt: skip
    assert recipe == classify()
    assert classify(outputClassifedRaster="other") == classify()


def test_environment_parameters_stand_below_the_context():
    assert classify(**{"env:outSR": "4326"}).context.out_crs == "EPSG:4326"
    context = json.dumps({"outSR": {"wkid": 3857}})
    assert classify(**{"env:outSR": "4326"}, context=context).context.out_crs == "EPSG:3857"


def test_detect_with_and_without_suppression():
    sent = {
        "inputRaster": RASTER, "outputObjects": "o", "model": MODEL,
        "confidenceScoreField": "Confidence", "classValueField": "Class", "maxOverlapRatio": "0.3",
    }  # fmt: skip
    without = parsed("DetectObjectsUsingDeepLearning", **sent, runNMS="false")
    assert without == recipes.Detect(A, M, Output("o"))
    with_it = parsed("DetectObjectsUsingDeepLearning", **sent, runNMS="true")
    assert with_it.nms == recipes.Nms("Confidence", "Class", 0.3)


def test_recognize_and_change():
    recipe = parsed(
        "ClassifyObjectsUsingDeepLearning", inputRaster=RASTER, model=MODEL,
        inputFeatures="https://box/arcgis/rest/services/Hosted/o/FeatureServer/0",
        outputFeatureClass="c", classLabelField="kind",
    )  # fmt: skip
    assert recipe == recipes.Recognize(A, M, Ref("service", "o"), Output("c"), label_field="kind")
    recipe = parsed(
        "DetectChangeUsingDeepLearning", fromRaster=RASTER, toRaster=RASTER, model=MODEL,
        outputClassifiedRaster="c",
    )  # fmt: skip
    assert recipe == recipes.Change(A, A, M, Output("c"))


def test_models():
    item = Ref("item", "a" * 32)
    assert parsed("ListDeepLearningModelInfo") == recipes.ListModels()
    assert parsed("QueryDeepLearningModelInfo", model=MODEL) == recipes.ModelInfo(M)
    package = json.dumps({"itemId": "a" * 32})
    assert parsed("InstallDeepLearningModel", modelPackage=package) == recipes.Install(item)
    assert parsed("InstallDeepLearningModel", modelPackage="a" * 32) == recipes.Install(item)
    assert parsed("UninstallDeepLearningModel", modelItemId="a" * 32) == recipes.Uninstall(item)
    assert parsed("UninstallDeepLearningModel", modelItemId=package) == recipes.Uninstall(item)


def test_export_with_everything():
    recipe = parsed(
        "ExportTrainingDataforDeepLearning", inputRaster=RASTER, outputLocation="chips",
        inputClassData="/fileShares/images/t.gpkg", chipFormat="png",
        tileSize='{"x": 256, "y": 128}',
        strideSize="64", metadataFormat="RCNN_Masks", classValueField="c", bufferRadius="1.5",
        inputMaskPolygons="/fileShares/images/m.gpkg", rotationAngle="30",
        referenceSystem="PIXEL_SPACE", blackenAroundFeature="true", fixChipSize="false",
        additionalInputRaster=RASTER, inputInstanceData="/fileShares/images/i.gpkg",
        instanceClassValueField="k", minPolygonOverlapRatio="0.2",
        context='{"exportAllTiles": "true", "startIndex": 7}',
    )  # fmt: skip
    assert recipe == recipes.Export(
        A, "chips", Ref("store", "images/t.gpkg"), Ref("store", "images/i.gpkg"), A,
        Ref("store", "images/m.gpkg"), "RCNN_Masks", "PNG",
        {
            "tile_yx": [128, 256], "stride_yx": [64, 64], "class_field": "c",
            "instance_class_field": "k", "buffer": 1.5, "rotation": 30.0, "reference": "pixel",
            "blacken": True, "fixed_chip": False, "min_overlap": 0.2, "all_tiles": True,
            "start_index": 7,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"model": ""}, "model of ClassifyPixels.* is missing; the model: JSON"),
        ({"inputRaster": "{"}, "inputRaster is no JSON"),
        ({"processAllRasterItems": "maybe"}, "processAllRasterItems is 'maybe'"),
        ({"modelArguments": "[1]"}, "modelArguments is"),
        ({"modelArguments": '{"batch_size": "many"}'}, "batch_size of modelArguments is 'many'"),
        ({"context": '{"extent": 5}'}, "extent is"),
        ({"context": "5"}, "context is '5'"),
        ({"env:outSR": "x"}, "outSR"),
    ],
)
def test_what_cannot_be_told_is_a_recipe_that_says_so(sent, words):
    recipe = classify(**sent)
    assert isinstance(recipe, recipes.Failed)
    assert re.search(words, recipe.message)
    assert recipes.from_json(recipes.to_json(recipe)) == recipe


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_without_parameters_fails_by_name(task):
    recipe = parsed(task.name)
    if needed := [one.name for one in task.inputs if one.required]:
        assert any(f"{name} of {task.name} is missing" in recipe.message for name in needed)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(
    "junk", ["{", "[]", '"', "\x00", "null", '{"url": 1}', "é" * 5000, "-1e999"]
)
def test_junk_never_raises(task, junk):
    recipe = recipe_of(given_to(task, {one.name: junk for one in task.inputs}, Here("https://box")))
    assert recipes.from_json(recipes.to_json(recipe)) == recipe
