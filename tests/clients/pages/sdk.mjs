// Esri's JavaScript SDK on our services; the test calls `window.draw` and reads the screen.
import config from "@arcgis/core/config.js";
import esriRequest from "@arcgis/core/request.js";
import Map from "@arcgis/core/Map.js";
import MapView from "@arcgis/core/views/MapView.js";
import ImageryLayer from "@arcgis/core/layers/ImageryLayer.js";
import FeatureLayer from "@arcgis/core/layers/FeatureLayer.js";
import Point from "@arcgis/core/geometry/Point.js";
import * as reactive from "@arcgis/core/core/reactiveUtils.js";

config.assetsPath = new URL("assets", document.baseURI).href;
config.workers.workerPath = new URL("sdk/RemoteClient.js", document.baseURI).href;

window.draw = async ({ raster, features, token, extent, points }) => {
  config.request.interceptors.push({
    urls: new URL(raster ?? features).origin,
    before: ({ requestOptions }) => {
      requestOptions.query = { ...requestOptions.query, token };
    },
  });
  const layers = [];
  if (raster) layers.push(new ImageryLayer({ url: raster, format: "png32" }));
  if (features) layers.push(new FeatureLayer({ url: features }));
  const view = new MapView({
    container: "map",
    map: new Map({ layers }),
    spatialReference: extent.spatialReference,
    extent,
    ui: { components: [] },
    background: { color: "white" },
    constraints: { snapToZoom: false },
  });
  await view.when();
  await Promise.all(layers.map((layer) => layer.load()));
  const drawn = await Promise.all(layers.map((layer) => view.whenLayerView(layer)));
  await reactive.whenOnce(() => !view.updating && drawn.every((one) => !one.updating));
  const places = points.map(([x, y]) => {
    const at = view.toScreen(new Point({ x, y, spatialReference: extent.spatialReference }));
    return [at.x, at.y];
  });
  const answer = { places };
  if (raster) {
    const pixels = await layers[0].fetchPixels(view.extent, 64, 64);
    answer.pixels = (pixels.pixelData ?? pixels).pixelBlock.pixels[0].length;
    answer.fields = layers[0].rasterFields?.map((field) => field.name);
  }
  if (features) {
    const layer = layers[layers.length - 1];
    answer.count = await layer.queryFeatureCount({ where: "1=1" });
    answer.fields = layer.fields.map((field) => field.name);
    answer.drawn = await drawn[drawn.length - 1].queryFeatureCount();
  }
  return answer;
};
window.ready = true;
