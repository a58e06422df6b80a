"""Hand-made packages of every kind, under trust, against the same computation in numpy."""

import contextlib
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import dask
import numpy as np
import pytest
import torch
from scipy import ndimage

from geodl_lab import open_model, settings
from geodl_lab.decoders import Recognizer
from geodl_lab.errors import BandError, ModelError, OptionError, RunError, TrustError
from geodl_lab.inputs import InputSpec
from geodl_lab.package import make_classes
from geodl_lab.packages.archives import open_files
from geodl_lab.packages.functions import open_function, with_arguments
from geodl_lab.packages.wrap import Facts
from geodl_lab.testing import make_raster, wrap

BASE = """
import json
import os
import numpy as np

class {name}:
    def initialize(self, **kwargs):
        assert kwargs["model_as_file"] is True and kwargs["device"] == -1
        with open(kwargs["model"]) as file:
            self.text = json.load(file)

    def getParameterInfo(self):
        return [
            {{"name": "raster", "dataType": "raster", "required": True}},
            {{"name": "model", "dataType": "string", "required": True}},
            {{"name": "device", "dataType": "numeric", "required": False}},
        ] + PARAMETERS

    def getConfiguration(self, **scalars):
        self.scalars = scalars
        padding = int(scalars.get("padding", self.text.get("ModelPadding", 0)))
        rows = int(self.text.get("BatchSize", 1))
        return {{
            "extractBands": tuple(self.text["ExtractBands"]), "padding": padding,
            "tx": self.text["ImageWidth"] - 2 * padding,
            "ty": (self.text["ImageHeight"] - 2 * padding) * rows,
            "inheritProperties": 2 | 4 | 8, "inputMask": True,
        }}
"""
CLASSIFY = (
    BASE.format(name="Classifier")
    + """
    def updateRasterInfo(self, **kwargs):
        kwargs["output_info"]["bandCount"] = 1
        kwargs["output_info"]["pixelType"] = "i4"
        return kwargs

    def updatePixels(self, tlc, shape, props, **blocks):
        pixels, mask = blocks["raster_pixels"], blocks["raster_mask"]
        assert pixels.dtype == np.uint8 and mask.dtype == np.uint8 and mask.all()
        pixels[mask == 0] = 0
        blocks["output_pixels"] = self.classes(pixels.astype(int)).astype(props["pixelType"])
        return blocks
"""
)
LEVELS = "    def classes(self, pixels):\n        return pixels[:1] // 64 + 1\n"
DETECT = (
    BASE.format(name="Detector")
    + """
    def getFields(self):
        return json.dumps({"fields": []})

    def getGeometryType(self):
        return 4

    def vectorize(self, **blocks):
        pixels = blocks["raster_pixels"][0].astype(int)
        pixels[blocks["raster_mask"][0] == 0] = 0
        features = []
        for value in np.unique(pixels[pixels > 0]):
            y, x = np.nonzero(pixels == value)
            corner = int(self.scalars.get("padding", self.text.get("ModelPadding", 0)))
            left, top = int(x.min()) - corner, int(y.min()) - corner
            right, bottom = int(x.max()) + 1 - corner, int(y.max()) + 1 - corner
            ring = [[left, top], [left, bottom], [right, bottom], [right, top]]
            features += self.found(value, ring)
        return {"output_vectors": json.dumps({"features": features})}
"""
)
FOUND = """
    def found(self, value, ring):
        if min(ring[2]) <= 0:  # wholly in the padding
            return []
        attributes = {"Class": self.text["Classes"][value % 2]["Name"], "Confidence": 90.0}
        return [{"attributes": attributes, "geometry": {"rings": [ring + ring[:1]]}}]
"""
NUMBER = {"dataType": "numeric", "required": False}
PADDING = [{**NUMBER, "name": "padding", "value": 4}]
SIDE = 32


def listing(parameters):
    return f"\nPARAMETERS = {parameters!r}\n"


@pytest.fixture
def pack(tmp_path):
    """Writes a package and opens it."""

    def make(source, *, task="classify", trust=True, more=None, parameters=(), bands=1, **text):
        kind = {"detect": "Detector", "recognize": "Chips"}.get(task, "Classifier")
        folder = tmp_path / kind.lower()
        folder.mkdir(exist_ok=True)
        classes = text.pop("classes", ["water", "land", "wood", "town"])
        dtype, facts = text.pop("dtype", "uint8"), text.pop("facts", {})
        described = {
            "InferenceFunction": f"{kind}.py",
            "ExtractBands": list(range(bands)),
            "ImageHeight": SIDE,
            "ImageWidth": SIDE,
            "Classes": [{"Value": i, "Name": n} for i, n in enumerate(classes, 1)],
            **text,
        }
        file = folder / described["InferenceFunction"].replace("\\", "/")
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(source + listing(list(parameters)))
        for name, content in (more or {}).items():
            (folder / name).write_text(content)
        (folder / "model.emd").write_text(json.dumps(described))
        made = Facts(
            name="made",
            task=task,
            inputs=InputSpec((), bands, dtype, scale=1 / 255),
            classes=make_classes(classes, first=1),
            window=described["ImageHeight"],
            width=described["ImageWidth"],
            **facts,
        )
        return open_function(open_files(folder), "model.emd", described, made, trust=trust)

    return make


@pytest.fixture
def numbered():
    """A raster of three rectangles with values of their own, all within a quarter window."""
    values = np.zeros((1, 80, 90), np.uint8)
    for value, (top, left, bottom, right) in enumerate(
        [(1, 2, 6, 5), (20, 28, 27, 35), (60, 62, 66, 69)], 1
    ):
        values[0, top:bottom, left:right] = value
    return wrap(values)


def states():
    """Return the states of our children by their ids, as Linux has them; Z has ended."""
    found = {}
    for thread in Path(f"/proc/{os.getpid()}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread, or a child, that ended just now
            for pid in (thread / "children").read_text().split():
                found[int(pid)] = Path(f"/proc/{pid}/stat").read_text().split()[2]
    return found


def children():
    """Return the ids of our children that still run; each that ended is waited for soon."""
    end = time.monotonic() + 10  # another thread may be at it
    while "Z" in (found := states()).values():
        assert time.monotonic() < end, f"nobody waits for what ended: {found}"
        time.sleep(0.01)
    return set(found)


@pytest.mark.parametrize("parameters", [PADDING, []])
def test_class_values_are_those_of_numpy(pack, parameters):
    model = pack(CLASSIFY + LEVELS, parameters=parameters)
    raster = make_raster((1, 75, 91), nodata=0)
    raster[0, 10:20, 30:40] = 0
    expected = np.where(raster[0] == 0, 255, raster[0] // 64 + 1)
    assert model.package.answers == "values" and model.package.inputs.scale == 1
    assert np.array_equal(raster.dl.classify(model), expected)
    assert np.array_equal(raster.chunk(x=40, y=30).dl.classify(model), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_pixels_come_in_the_type_of_the_raster(pack, dtype):
    source = f"""
    def updatePixels(self, tlc, shape, props, **blocks):
        pixels = blocks["raster_pixels"]
        assert tlc == (0, 0) and shape == (1, 32, 32)
        assert not pixels.any() or (props["pixelType"], "{dtype}") == (pixels.dtype, pixels.dtype)
        return {{"output_pixels": pixels // 64 + 1}}
"""
    model = pack(BASE.format(name="Classifier") + source, dtype=None)
    raster = make_raster((1, 75, 91)).astype(dtype)
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)


def test_a_range_that_the_function_asks_for_is_scaled_to(pack):
    source = """
    def getConfiguration(self, **scalars):
        return {"dataRange": (0, 1)}

    def updatePixels(self, tlc, shape, props, **blocks):
        pixels = blocks["raster_pixels"]
        assert pixels.dtype == np.float32 and pixels.max() <= 1
        return {"output_pixels": (pixels * 255).round() // 64 + 1}
"""
    model, raster = pack(BASE.format(name="Classifier") + source), make_raster((1, 75, 91))
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)


EMD = {"ModelType": "ImageClassification", "ExtractBands": [0], "DataRange": [0, 9]}


@pytest.mark.parametrize("said", [{}, EMD])
def test_the_range_is_the_functions_own(pack, said):
    """Whatever the description says; without any it is that of 8 bit."""
    source = """
    def getConfiguration(self, **scalars):
        return {"dataRange": (-1, 1)}

    def updatePixels(self, tlc, shape, props, **blocks):
        stored = ((blocks["raster_pixels"] + 1) * 127.5).round()
        return {"output_pixels": stored // 64 + 1}
"""
    model = pack(
        BASE.format(name="Classifier") + source, dtype=None, facts={"about": {"emd": said}}
    )
    raster = make_raster((1, 75, 91))
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)
    with pytest.raises(BandError, match="wants uint8 pixels and the raster has uint16"):
        raster.astype("uint16").dl.classify(model)


@pytest.mark.parametrize("asked", [(0,), (1, 0), "0,1", ("a", 1), (0, float("inf")), 5])
def test_ranges_that_are_none_are_refused(pack, asked):
    source = f"""
    def getConfiguration(self, **scalars):
        return {{"dataRange": {asked!r}}}
"""
    with pytest.raises(ModelError, match=r"'getConfiguration of Classifier.py' has DataRange"):
        pack((CLASSIFY + source).replace("inf)", "float('inf'))"))


@pytest.mark.parametrize("said", [{}, EMD])
def test_the_bands_are_those_that_the_function_extracts(pack, said):
    source = (
        LEVELS
        + """
    def getConfiguration(self, **scalars):
        return {"extractBands": (2,), "inputMask": True}
"""
    )
    raster = make_raster((3, 75, 91))
    model = pack(CLASSIFY + source, facts={"about": {"emd": said}})
    assert np.array_equal(raster.dl.classify(model), raster[2] // 64 + 1)


def test_the_part_of_arcpy_that_names_a_device_is_there(pack):
    source = """
    def classes(self, pixels):
        import arcpy
        arcpy.env.processorType = "CPU"
        return pixels[:1] // 64 + 1
"""
    raster = make_raster((1, 40, 40))
    assert np.array_equal(raster.dl.classify(pack(CLASSIFY + source)), raster[0] // 64 + 1)


def test_a_function_is_saved_as_it_came(pack, tmp_path):
    """With the batch that the package fixes, which it is not run with."""
    path = pack(CLASSIFY + LEVELS, BatchSize=3).save(tmp_path / "x.dlpk")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("model.emd") == (tmp_path / "classifier/model.emd").read_bytes()


def test_a_function_that_trims_its_padding_is_exact_at_seams(pack):
    """A mean of 5 x 5 px, trimmed by 2 px, is that of the whole raster wherever it is whole."""
    source = """
    def classes(self, pixels):
        n, h, w = pixels.shape
        total = sum(pixels[:1, y:h - 4 + y, x:w - 4 + x] for y in range(5) for x in range(5))
        return total // 25 // 64 + 1
"""
    raster = make_raster((1, 75, 91))
    model = pack(CLASSIFY + source, ModelPadding=2)
    assert (model.package.field.crop, model.package.field.halo) == (2, 2)
    total = ndimage.convolve(raster.values[0].astype(int), np.ones((5, 5), int), mode="mirror")
    assert np.array_equal(raster.dl.classify(model), total // 25 // 64 + 1)


def test_a_batch_that_the_package_fixes_becomes_one_window(pack):
    model = pack(CLASSIFY + LEVELS, parameters=PADDING, BatchSize=4)
    assert model.package.shape_yx == (SIDE, SIDE)


def test_windows_need_not_be_square(pack):
    model = pack(CLASSIFY + LEVELS, ImageWidth=48)
    raster = make_raster((1, 75, 91))
    assert model.package.shape_yx == (32, 48)
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)


def test_what_is_no_class_or_masked_is_nodata(pack):
    source = """
    def classes(self, pixels):
        return pixels[:1]

    def updatePixels(self, tlc, shape, props, **blocks):
        mask = blocks["raster_pixels"] != 2
        return {"output_pixels": blocks["raster_pixels"][0], "output_mask": mask}
"""
    raster = wrap(np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(4, 1).repeat(4, 2))
    expected = np.where(np.isin(raster[0], [1, 3, 4]), raster[0], 255)
    assert np.array_equal(raster.dl.classify(pack(CLASSIFY + source)), expected)


def test_scores_are_not_invented(pack):
    model, raster = pack(CLASSIFY + LEVELS), make_raster((1, 40, 40))
    for call in (raster.dl.probabilities, raster.dl.entropy):
        with pytest.raises(ModelError, match="answers class values and no scores"):
            call(model)
    with pytest.raises(ModelError, match="threshold is not possible with model 'made'"):
        raster.dl.classify(model, threshold=0.5)
    with pytest.raises(OptionError, match="class values, which have no mean"):
        raster.dl.classify(model, tta=True)
    with pytest.raises(OptionError, match="no scores to compare at seams"):
        raster.dl.classify(model, seam_error=True)


def test_numbers_without_classes_are_a_regression_of_several_bands(pack):
    source = """
    def updateRasterInfo(self, **kwargs):
        kwargs["output_info"].update(bandCount=2, pixelType="f4")
        return kwargs

    def updatePixels(self, tlc, shape, props, **blocks):
        red, nir = blocks["raster_pixels"].astype("f4")
        return {"output_pixels": np.stack([nir - red, nir + red]).astype(props["pixelType"])}
"""
    model = pack(BASE.format(name="Classifier") + source, classes=[], bands=2)
    raster = make_raster((2, 50, 60))
    red, nir = raster.values.astype(float)
    assert model.package.task == "regress"
    assert np.array_equal(raster.dl.regress(model), [nir - red, nir + red])
    model = pack(BASE.format(name="Classifier") + source, task="regress", classes=[], bands=2)
    assert np.array_equal(raster.dl.regress(model), [nir - red, nir + red])


@pytest.mark.parametrize("padding", [{"parameters": PADDING}, {"ModelPadding": 8}])
def test_each_object_is_found_once(pack, numbered, padding):
    model = pack(DETECT + FOUND, task="detect", classes=["even", "odd"], **padding)
    found = numbered.dl.detect(model)
    assert list(found.label) == ["odd", "even", "odd"] and set(found.score) == {0.9}
    x0, _, _, y1 = numbered.rio.bounds()
    pixels = (found.bounds - [x0, y1, x0, y1]).abs() / 0.6
    assert np.allclose(
        pixels[["miny", "minx", "maxy", "maxx"]].round(6)[["maxy", "minx", "miny", "maxx"]],
        [(1, 2, 6, 5), (20, 28, 27, 35), (60, 62, 66, 69)],
    )


def test_rotated_boxes_stay_rotated(pack):
    source = """
    def found(self, value, ring):
        (left, top), (right, bottom) = ring[0], ring[2]
        x, y = (left + right) / 2, (top + bottom) / 2
        ring = [[x, top], [right, y], [x, bottom], [left, y]]
        attributes = {"ClassValue": 2, "Confidence": "0.75"}
        return [{"attributes": attributes, "geometry": {"rings": [ring]}}]
"""
    values = np.zeros((1, 32, 32), np.uint8)
    values[0, 10:18, 8:16] = 1
    model = pack(DETECT + source, task="detect", classes=["a", "b"], parameters=PADDING)
    found = wrap(values).dl.detect(model)
    assert list(found.label) == ["b"] and list(found.score) == [0.75]
    assert found.area.sum() / 0.36 == pytest.approx(32)


def test_instances_are_masks_with_their_holes(pack):
    source = """
    def found(self, value, ring):
        (left, top), (right, bottom) = ring[0], ring[2]
        hole = [[left + 2, top + 2], [left + 4, top + 2], [left + 4, top + 4], [left + 2, top + 4]]
        attributes = {"Class": "hole", "Confidence": 0.8}
        return [{"attributes": attributes, "geometry": {"rings": [ring, hole]}}]
"""
    values = np.zeros((1, 80, 90), np.uint8)
    values[0, 30:38, 28:36] = 1
    model = pack(
        DETECT + source,
        task="detect",
        classes=["hole", "other"],
        parameters=PADDING,
        ModelType="InstanceDetection",
    )
    assert model.package.decoder.name == "masks"
    found = wrap(values).dl.detect(model)
    assert found.area.sum() / 0.36 == pytest.approx(8 * 8 - 2 * 2)


def test_points_come_out_as_points(pack):
    source = """
    def getGeometryType(self):
        return 1

    def found(self, value, ring):
        attributes = {"Class": "a", "Confidence": 0.8}
        return [{"attributes": attributes, "geometry": {"x": ring[0][0] + 2, "y": ring[0][1] + 3}}]
"""
    values = np.zeros((1, 80, 90), np.uint8)
    values[0, 30:36, 28:32] = 1
    model = pack(DETECT + source, task="detect", classes=["a", "b"], parameters=PADDING)
    (point,) = wrap(values).dl.detect(model).geometry
    assert (point.x, point.y) == pytest.approx((400_000 + 30 * 0.6, 3_700_000 - 33 * 0.6))


CHANGE = """
import numpy as np

class Change:
    def initialize(self, **kwargs):
        pass

    def getParameterInfo(self):
        return RASTERS

    def getConfiguration(self, **scalars):
        return {"padding": 0, "tx": 32, "ty": 32}

    def updateRasterInfo(self, **kwargs):
        self.counts = [kwargs[r["name"] + "_info"]["bandCount"] for r in RASTERS]
        return kwargs

    def updatePixels(self, tlc, shape, props, **blocks):
        assert sum(self.counts) == 4 and len(set(self.counts)) == 1
        before, after = self.dates(**blocks)
        assert blocks[RASTERS[0]["name"] + "_mask"].all()  # also where it is not asked for
        return (1 + (after.astype(int).sum(axis=0) > before.astype(int).sum(axis=0)))[None]

"""
TWO = """    def dates(self, before_pixels, after_pixels, **masks):
        return before_pixels, after_pixels
"""
ONE = """    def dates(self, raster_pixels, **masks):
        return np.split(raster_pixels, 2)
"""


@pytest.mark.parametrize(
    ("dates", "names"), [(TWO, ("before", "after")), (ONE, ("raster",)), (ONE, ())]
)
def test_change_is_found_between_two_rasters_or_the_bands_of_one(tmp_path, dates, names):
    rasters = [{"name": name, "dataType": "raster"} for name in names]
    source = (
        CHANGE + dates + "RASTERS = " + repr(rasters or [{"name": "raster", "dataType": "string"}])
    )
    text = {
        "ModelType": "ChangeDetection",
        "InferenceFunction": "Change.py",
        "ImageHeight": 32,
        "ImageWidth": 32,
        "ExtractBands": [0, 1] if len(names) == 2 else [0, 1, 2, 3],
        "Classes": [{"Value": 1, "Name": "less"}, {"Value": 2, "Name": "more"}],
    }
    path = tmp_path / "change.dlpk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("change.emd", json.dumps(text))
        archive.writestr("Change.py", source)
    before, after = make_raster((2, 70, 50)), make_raster((2, 70, 50), seed=1)
    found = before.dl.change(after, open_model(path, trust=True))
    more = after.astype(int).sum("band") > before.astype(int).sum("band")
    assert (found == 1 + more).all()


def test_chips_of_objects_get_labels(pack):
    source = """
import json
import numpy as np

class Chips:
    def getParameterInfo(self):
        return [{"name": "rasters", "dataType": "rasters"}] + PARAMETERS

    def getConfiguration(self, **scalars):
        return {"extractBands": (0,), "tx": 32, "ty": 32, "batch_size": 1, "inputMask": True}

    def vectorize(self, **blocks):
        (chip,), (mask,) = blocks["rasters_pixels"], blocks["rasters_mask"]
        label = "bright" if chip[mask > 0].mean() > 100 else "dark"
        attributes = {"OID": 1, "Label": label, "Confidence": "0.75"}
        features = [{"attributes": attributes, "geometry": {"rings": []}}]
        return {"output_vectors": json.dumps({"features": features})}
"""
    facts = {"recognizer": Recognizer()}
    model = pack(source, task="recognize", classes=["bright", "dark"], facts=facts)
    chips = torch.tensor([200.0, 20.0])[:, None, None, None].expand(2, 1, SIDE, SIDE)
    scores = model.network.placed("cpu", settings.cores())(chips)
    assert scores.tolist() == [[0.75, 0], [0, 0.75]]
    assert model.package.recognizer.activation == "none"


def test_nothing_runs_without_trust(pack, tmp_path):
    before = children()
    sentinel = tmp_path / "ran"
    source = f"open({str(sentinel)!r}, 'w').close()\n" + CLASSIFY + LEVELS
    model = pack(source, trust=False)
    assert model.package.task == "classify" and model.package.classes[0].name == "water"
    with pytest.raises(TrustError, match=r"'Classifier.py'.*trust=True \(sha256 [0-9a-f]{64}\)"):
        make_raster((1, 40, 40)).dl.classify(model)
    assert not sentinel.exists() and children() <= before
    pack(source)
    assert sentinel.exists()


def test_trust_may_be_the_hash_of_this_package(pack):
    closed = pack(CLASSIFY + LEVELS, trust="0" * 64)
    assert isinstance(closed.network.reason, TrustError)
    assert pack(CLASSIFY + LEVELS, trust=closed.package.sha256).package.answers == "values"


def test_windows_paths_and_helper_modules(pack):
    source = "import helper\n" + CLASSIFY
    source += "    def classes(self, pixels):\n        return helper.levels(pixels)\n"
    helper = "import json\ndef levels(pixels):\n    return pixels[:1] // 64 + 1\n"
    made = pack(
        source,
        InferenceFunction="..\\functions\\Classifier.py".replace("..\\", ""),
        more={"functions.txt": "x"},
        trust=False,
    )
    assert isinstance(made.network.reason, TrustError)
    model = pack(
        "import sys, os\nsys.path.append(os.path.join(os.path.dirname(__file__), '..'))\n" + source,
        InferenceFunction="functions\\Classifier.py",
        more={"helper.py": helper},
    )
    raster = make_raster((1, 40, 40))
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)


def test_a_class_of_another_name_is_found_and_two_are_refused(pack):
    source = (CLASSIFY + LEVELS).replace("class Classifier", "class Other")
    assert pack(source).package.window == SIDE
    twice = source + source.replace("class Other", "class Third")
    with pytest.raises(ModelError, match="2 classes have getParameterInfo and none is"):
        pack(twice)


def test_prints_do_not_disturb(pack):
    source = """
    def classes(self, pixels):
        print("x" * 5000)
        os.write(1, b"raw")
        os.system("echo from a shell")
        return pixels[:1] // 64 + 1
"""
    raster = make_raster((1, 40, 40))
    assert np.array_equal(raster.dl.classify(pack(CLASSIFY + source)), raster[0] // 64 + 1)


FAILURES = {
    "raise ValueError('no such\\nweather')": r"failed in updatePixels \(Classifier.py line \d+\)"
    r" raised ValueError: no such weather",
    "os._exit(3)": "ended with exit code 3 during update_pixels",
    "os.kill(os.getpid(), 11)": r"crashed \(SIGSEGV\) during update_pixels",
    "raise SystemExit": "raised SystemExit",
    "import arcpy; arcpy.Describe": "needs the Python module 'arcpy', which is missing: it comes",
    "import nonesuch.part": "is missing: install it, as in pip install nonesuch",
    "print('last words', flush=True); os._exit(1)": "printed last: last words",
}


@pytest.mark.parametrize(("line", "message"), FAILURES.items())
def test_failures_of_a_window_are_one_sentence_and_the_next_call_works(pack, line, message):
    source = f"""
    def classes(self, pixels):
        if pixels.max() == 255:
            {line}
        return pixels[:1] // 64 + 1
"""
    model, raster = pack(CLASSIFY + source), make_raster((1, 40, 40))
    bad = raster.copy()
    bad[0, 0, 0] = 255
    with pytest.raises(
        RunError, match=f"(?s)'made' failed on the window at row.*{message}"
    ) as told:
        bad.dl.classify(model)
    assert "\n" not in str(told.value) and "Traceback" not in str(told.value)
    assert np.array_equal(raster.dl.classify(model), raster[0] // 64 + 1)
    children()


def test_a_hang_is_stopped(pack, monkeypatch):
    source = """
    def classes(self, pixels):
        while pixels.max() == 255:
            pass
        return pixels[:1] // 64 + 1
"""
    model, raster = pack(CLASSIFY + source), make_raster((1, 40, 40))
    raster[0, 0, 0] = 255
    monkeypatch.setattr(settings, "FUNCTION_TIMEOUT", 1.0)
    with pytest.raises(RunError, match="gave no answer in 1 s and was stopped"):
        raster.dl.classify(model)


ANSWERS = {
    "return None": "answered a NoneType, needed is 'output_pixels'",
    "return {'pixels': 1}": "answered a dict of pixels, needed is 'output_pixels'",
    "return {'output_pixels': 'text'}": "answered pixels of type <U4, needed are numbers",
    "return {'output_pixels': np.zeros((1, 5, 9))}": "answered pixels of shape",
    "return {'output_pixels': np.zeros((1, 32, 32)), 'output_mask': np.ones(3)}": "answered a mask",
    "return {'output_pixels': np.zeros((3, 32, 32))}": "answers 3 bands; classify needs 1",
}


@pytest.mark.parametrize(("line", "message"), ANSWERS.items())
def test_malformed_pixels_are_refused_when_opened(pack, line, message):
    source = f"\n    def updatePixels(self, tlc, shape, props, **blocks):\n        {line}\n"
    with pytest.raises(ModelError, match=message):
        pack(CLASSIFY + source)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return None", "answered a NoneType, needed is 'output_vectors'"),
        ("return {'output_vectors': '{'}", "raised JSONDecodeError"),
        ("return {'output_vectors': '[]'}", "failed in vectorize: it answered no feature set"),
    ],
)
def test_malformed_features_are_refused_when_opened(pack, line, message):
    source = f"\n    def vectorize(self, **blocks):\n        {line}\n"
    with pytest.raises(ModelError, match=message):
        pack(DETECT + FOUND + source, task="detect")


def test_functions_that_cannot_do_the_task_are_refused(pack):
    with pytest.raises(ModelError, match="no updatePixels; get a package whose ModelType fits"):
        pack((DETECT + FOUND).replace("class Detector", "class Classifier"))
    with pytest.raises(ModelError, match="raised SyntaxError"):
        pack("def broken(:")
    with pytest.raises(ModelError, match=r"asks for blocks of .*'wide'"):
        pack((CLASSIFY + LEVELS).replace('self.text["ImageWidth"] - 2 * padding', "'wide'"))


def test_arguments_reach_the_function_and_the_decoder(pack, numbered):
    source = """
    def found(self, value, ring):
        assert self.scalars["batch_size"] == 1 and self.scalars["exclude_pad_detections"] == "False"
        score = 0.2 * float(value)
        if score < self.scalars["score_threshold"]:
            return []
        attributes = {"Class": self.text["Classes"][0]["Name"], "Confidence": score * 100}
        return [{"attributes": attributes, "geometry": {"rings": [ring]}}]
"""
    parameters = [
        *PADDING,
        {**NUMBER, "name": "score_threshold", "value": 0.6},
        {**NUMBER, "name": "batch_size", "value": 64},
        {"name": "exclude_pad_detections", "dataType": "string", "value": "True"},
    ]
    model = pack(DETECT + source, task="detect", parameters=parameters)
    assert [p["name"] for p in model.network.parameters][3:] == [p["name"] for p in parameters]
    counts = {None: 1, 0.35: 2, 0.1: 3}
    for threshold, count in counts.items():
        assert len(numbered.dl.detect(model, threshold=threshold)) == count
    lower = with_arguments(model, {"threshold": 0.3, "padding": 9})
    assert len(numbered.dl.detect(lower)) == 2
    assert lower.package.field.halo == 9 and model.package.field.halo == 4
    assert lower.token != model.token == ""
    assert len(numbered.dl.detect(with_arguments(lower, {"score_threshold": "0.5"}))) == 1
    with pytest.raises(OptionError, match="threshold 'much' is not possible"):
        with_arguments(model, {"threshold": "much"})
    with pytest.raises(OptionError, match="there is no argument 'colour'; possible are"):
        with_arguments(model, {"colour": 1})
    with pytest.raises(OptionError, match="padding 16 is not possible"):
        with_arguments(model, {"padding": 16})


def test_arguments_travel_and_models_stay_apart(pack):
    source = """
    def getConfiguration(self, **scalars):
        self.scalars = scalars
        return {"padding": 4, "inputMask": True}

    def classes(self, pixels):
        return pixels[:1] * 0 + int(self.scalars["level"])
"""
    level = {**NUMBER, "name": "level", "value": 1}
    one = pack(CLASSIFY + source, parameters=[level])
    two = with_arguments(one, {"level": 2})
    assert one.package.shape_yx == two.package.shape_yx == (SIDE, SIDE)
    assert two.package.about["arguments"] == {"level": 2}
    raster = make_raster((1, 40, 40))
    for value, model in enumerate(pickle.loads(pickle.dumps([one, two])), 1):
        assert (raster.dl.classify(model) == value).all()


def test_dask_processes_get_the_package_with_the_model(pack):
    model = pack(CLASSIFY + LEVELS, parameters=PADDING)
    again = pickle.loads(pickle.dumps(model))
    assert again.network.workers == {} or again.network is not model.network
    raster = make_raster((1, 75, 91))
    lazy = raster.chunk(x=45, y=40).dl.classify(model)
    with dask.config.set(scheduler="processes", num_workers=2):
        assert np.array_equal(lazy.compute(), raster[0] // 64 + 1)


def test_one_process_a_package_and_nothing_stays(pack, numbered):
    before = children()
    model = pack(DETECT + FOUND, task="detect", classes=["even", "odd"], parameters=PADDING)
    other = with_arguments(model, {"padding": 6})
    numbered.dl.detect(model)
    numbered.dl.detect(other)
    (child,) = children() - before
    (worker,) = model.network.workers.values()
    folder = worker._process.folder
    assert folder.exists() and folder.stat().st_mode & 0o077 == 0
    del worker, model, other
    gc.collect()
    assert child not in children() and not folder.exists()


@pytest.mark.parametrize("killed", [False, True])
def test_the_end_of_the_parent_ends_the_child(pack, tmp_path, killed):
    pack(CLASSIFY + LEVELS, trust=False)
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from geodl_lab.packages.functions_process import Function, Worker
from pathlib import Path
folder = Path({str(tmp_path / "classifier")!r})
content = {{file.name: file.read_bytes() for file in folder.iterdir()}}
worker = Worker(Function(content, "model.emd", "Classifier.py", ""), device="cpu", threads=1)
worker.load()
print(worker._process._child.pid, worker._process.folder, flush=True)
if {killed}:
    time.sleep(60)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        if killed:
            parent.send_signal(signal.SIGKILL)
        parent.wait(30)
    deadline = time.monotonic() + 10
    while (Path("/proc", pid).exists() or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path("/proc", pid).exists() and not Path(folder).exists()
