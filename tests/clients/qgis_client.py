"""What QGIS makes of our services; run by a Python that has QGIS, with the task as JSON on stdin.

Answers JSON on stdout: what is valid, drawn, in the legend, listed and filtered.
"""

import json
import os
import sys
import tempfile

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
PROFILE = tempfile.mkdtemp(prefix="qgis-")
os.environ["QGIS_AUTH_DB_DIR_PATH"] = PROFILE
os.environ["QGIS_CUSTOM_CONFIG_PATH"] = PROFILE

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsAuthMethodConfig,
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPointXY,
    QgsRaster,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QSize  # noqa: E402
from qgis.PyQt.QtGui import QColor  # noqa: E402

SIZE = 600, 450


def main() -> None:
    """Do the task and print what came of it."""
    task = json.load(sys.stdin)
    application = QgsApplication([], False, PROFILE)
    application.initQgis()
    key = login(task["token"])
    layers = [raster_layer(task, key), vector_layer(task, key)]
    answer = {
        "version": QgsApplication.instance().applicationVersion(),
        "raster": about_raster(layers[0], task),
        "features": about_features(layers[1], task),
    }
    for name, layer in zip(("raster", "features"), layers, strict=True):
        answer[name]["colors"] = drawn(layer, task, f"{task['pictures']}/qgis-{name}.png")
    print(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # QGIS 3.22 may crash while it tidies up without a screen


def login(token: str) -> str:
    """Keep the token as QGIS does; return the id of that configuration."""
    manager = QgsApplication.authManager()
    manager.setMasterPassword("x", True)
    method = QgsAuthMethodConfig("EsriToken")
    method.setName("geodl")
    method.setConfig("token", token)
    manager.storeAuthenticationConfig(method)
    return method.id()


def raster_layer(task: dict, key: str) -> QgsRasterLayer:
    """Open the image service as QGIS's dialog does."""
    source = f"crs='{task['crs']}' format='PNG32' layer='' url='{task['raster']}' authcfg={key}"
    return QgsRasterLayer(source, "classes", "arcgismapserver")


def vector_layer(task: dict, key: str) -> QgsVectorLayer:
    """Open the feature service as QGIS's dialog does."""
    source = f"crs='{task['crs']}' url='{task['features']}/0' authcfg={key}"
    return QgsVectorLayer(source, "objects", "arcgisfeatureserver")


def about_raster(layer: QgsRasterLayer, task: dict) -> dict:
    """Say what the layer is, what its legend shows, and what the identify tool finds."""
    provider = layer.dataProvider()
    fetcher = provider.getLegendGraphicFetcher(None)
    images = []
    if fetcher is not None:
        loop = QEventLoop()
        fetcher.finish.connect(lambda image: (images.append(image), loop.quit()))
        fetcher.error.connect(lambda text: loop.quit())
        fetcher.start()
        loop.exec_()
    found = [
        provider.identify(QgsPointXY(*place), QgsRaster.IdentifyFormatFeature).results()
        for place in task["points"][:3]
    ]
    return {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "extent": corners(layer.extent()),
        "legend": sorted(palette(images[0])) if images else [],
        "identified": [texts(results) for results in found],
    }


def texts(results: dict) -> list:
    """Return attributes of what an identify found, as text."""
    return [
        str(dict(zip(store.fields().names(), feature.attributes(), strict=True)))
        for stores in results.values()
        for store in stores
        for feature in store.features()
    ]


def about_features(layer: QgsVectorLayer, task: dict) -> dict:
    """Say what the layer is and what filters leave of it."""
    box = QgsFeatureRequest().setFilterRect(QgsRectangle(*task["box"]))
    chosen = QgsFeatureRequest().setFilterExpression(task["expression"])
    return {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "fields": layer.fields().names(),
        "count": layer.featureCount(),
        "listed": sum(feature.hasGeometry() for feature in layer.getFeatures()),
        "in_box": sum(1 for _ in layer.getFeatures(box)),
        "chosen": sum(1 for _ in layer.getFeatures(chosen)),
        "renderer": layer.renderer().type(),
    }


def drawn(layer, task: dict, path: str) -> list:
    """Draw a layer over the task's extent, save the picture; return the colours at the points."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setOutputSize(QSize(*SIZE))
    settings.setBackgroundColor(QColor(255, 255, 255))
    settings.setDestinationCrs(QgsCoordinateReferenceSystem(task["crs"]))
    settings.setExtent(QgsRectangle(*task["extent"]))
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    image.save(path)
    to_pixel = settings.mapToPixel()
    colors = []
    for place in task["points"]:
        pixel = to_pixel.transform(QgsPointXY(*place))
        colors.append(image.pixelColor(int(pixel.x()), int(pixel.y())).name())
    return colors


def palette(image) -> set:
    """Return the colours of a picture, as #rrggbb."""
    return {
        image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())
    }


def corners(box: QgsRectangle) -> list:
    """Return left, bottom, right, top."""
    return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]


main()
