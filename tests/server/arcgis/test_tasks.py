"""The task pages are what the ArcGIS API for Python makes its functions of."""

import re

import pytest

from geodl_lab.server.arcgis.tasks import TASKS, find_task, task_page

# Keywords that arcgis 2.4.4 passes, as its method signatures and public documentation say.
KEYWORDS = {
    "ClassifyPixelsUsingDeepLearning": "input_raster output_classified_raster model "
    "model_arguments process_all_raster_items context",
    "DetectObjectsUsingDeepLearning": "input_raster output_objects model model_arguments run_nms "
    "confidence_score_field class_value_field max_overlap_ratio process_all_raster_items context",
    "ListDeepLearningModels": "",
    "QueryDeepLearningModelInfo": "model",
    "InstallDeepLearningModel": "model_package",
    "UninstallDeepLearningModel": "model_item_id",
    "ExportTrainingDataforDeepLearning": "input_raster output_location input_class_data "
    "chip_format tile_size stride_size metadata_format class_value_field buffer_radius "
    "input_mask_polygons rotation_angle reference_system process_all_raster_items "
    "blacken_around_feature fix_chip_size additional_input_raster input_instance_data "
    "instance_class_value_field min_polygon_overlap_ratio context",
    "ClassifyObjectsUsingDeepLearning": "input_raster input_features output_feature_class model "
    "model_arguments class_label_field process_all_raster_items context",
    "DetectChangeUsingDeepLearning": "from_raster to_raster model_definition "
    "output_classified_raster_name model_arguments context",
}


def snake(name):
    """Their rule: a low line before each capital that begins a word, then all small."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def test_all_tasks_are_there_with_the_keywords_that_clients_pass():
    inputs = {task.name: " ".join(snake(one.name) for one in task.inputs) for task in TASKS}
    assert inputs == KEYWORDS


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_page_has_what_clients_index(task):
    page = task_page(task)
    assert page["name"] == task.name
    for one in page["parameters"]:
        needed = {"name", "dataType", "displayName", "direction", "defaultValue", "parameterType"}
        assert needed <= one.keys()
    directions = [one["direction"] for one in page["parameters"]]
    assert directions[:-1] == ["esriGPParameterDirectionInput"] * len(task.inputs)
    assert directions[-1] == "esriGPParameterDirectionOutput"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_texts_can_be_pasted_into_python(task):
    texts = [task.title, task.about]
    texts += [text for one in (*task.inputs, task.output) for text in (one.name, one.about)]
    assert not [text for text in texts if re.search(r"[\"'\\\n]", text)]


def test_names_and_aliases_are_found_in_any_case():
    assert find_task("listdeeplearningmodelINFO").name == "ListDeepLearningModels"
    assert find_task("TrainDeepLearningModel") is None
    classify = find_task("classifypixelsusingdeeplearning")
    assert classify.input("OUTPUTCLASSIFEDRASTER").name == "outputClassifiedRaster"
    assert classify.input("Model").name == "model"
    assert classify.input("maxOverlapRatio") is None
    assert "outputClassifedRaster" not in str(task_page(classify))
