// The stage: everything of ours on one Leaflet map. One kernel model may stand on several maps.
//
// The files of this folder are read in a row as one module (see tile_layer.py), so that none
// imports another: no build, no server that would have to find them. This one comes last.

const FIND_MS = 50; // between two looks for the map
const WATCH_MS = 3000; // between two looks whether the map is still on the page
const PATIENCE_MS = 8000; // until we say that the kernel does not answer

class Stage {
  constructor(map, model) {
    this.map = map;
    this.model = model;
    this.token = Math.random().toString(36).slice(2);
    this.simple = map.options.crs === window.L.CRS.Simple;
    this.outbox = { want: [], drop: [] };
    this.rasters = new Map();
    this.objects = new Map();
    map._fadeAnimated = false; // a tile that fades in at each of its pictures would flicker
    this.parts = [];
    this.status = this.own(new Status(this));
    this.panel = this.own(new Panel(this));
    this.swipe = this.own(new Swipe(this));
    this.inspector = this.own(new Inspector(this));
    this.tools = this.own(new Tools(this));
    this.hear = (content, buffers) => this.receive(content, buffers);
    this.refresh = () => this.update();
    this.refit = () => this.fit();
    this.moved = () => this.say("view", this.place());
    model.on("msg:custom", this.hear);
    model.on("change:layers change:split", this.refresh);
    model.on("change:fit", this.refit);
    map.on("moveend resize", this.moved);
    this.leave = () => this.say("bye", {});
    window.addEventListener("pagehide", this.leave);
    this.watching = setInterval(() => this.watch(), WATCH_MS);
    this.greet();
    this.fit();
    this.update();
    this.moved();
  }

  // A cell that runs again takes its map off the page and tells nobody; JupyterLab also takes off
  // cells that are scrolled out of sight, and puts them back.
  watch() {
    const gone = !this.map.getContainer().isConnected;
    if (gone === Boolean(this.gone)) return;
    this.gone = gone;
    if (gone) return this.leave();
    this.moved();
    for (const raster of this.rasters.values()) raster.renew((tile) => raster.awaits(tile));
  }

  own(part) {
    this.parts.push(part);
    return part;
  }

  get layers() {
    return this.model.get("layers");
  }

  layer(id) {
    return this.layers.find((layer) => layer.id === id);
  }

  // Ask the kernel whether it is there; a page that was reopened may have outlived it.
  greet() {
    this.say("hello", {});
    this.late = setTimeout(() => this.status.silent(true), PATIENCE_MS);
  }

  say(kind, content, buffers = []) {
    try {
      this.model.send({ kind, token: this.token, ...content }, undefined, buffers);
    } catch (error) {
      this.status.silent(true);
    }
  }

  // Tiles that are asked for in one turn of the event loop travel together, with the view.
  ask(kind, tile) {
    if (!this.outbox.want.length && !this.outbox.drop.length) queueMicrotask(() => this.post());
    this.outbox[kind].push(tile);
  }

  post() {
    const { want, drop } = this.outbox;
    this.outbox = { want: [], drop: [] };
    this.say("tiles", { want, drop, ...this.place() });
  }

  // Middle, edges and zoom of what is seen: degrees, or x and y (down) of a plane.
  place() {
    const bounds = this.map.getBounds();
    const middle = this.map.getCenter();
    return {
      middle: [middle.lng, middle.lat],
      bounds: [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()],
      zoom: this.map.getZoom(),
      size: [this.map.getSize().x, this.map.getSize().y],
    };
  }

  receive(content, buffers) {
    clearTimeout(this.late);
    this.status.silent(false);
    if (content.token && content.token !== this.token) return;
    const view = this.rasters.get(content.layer);
    if (content.kind === "tile") view?.paint(content, buffers[0]);
    if (content.kind === "objects") this.objects.get(content.layer)?.draw(text(buffers[0]));
    if (content.kind === "status") this.status.report(content);
    if (content.kind === "problem") this.status.complain(content.text);
    if (content.kind === "values") this.inspector.show(content);
    if (content.kind === "measured") this.tools.measured(content);
    if (content.kind === "saved") this.tools.download(content, buffers[0]);
  }

  // Make the map show what the model's list of layers says.
  update() {
    const layers = this.layers;
    const ids = new Set(layers.map((layer) => layer.id));
    for (const shown of [this.rasters, this.objects]) {
      for (const [id, layer] of shown) if (!ids.has(id)) (layer.close(), shown.delete(id));
    }
    layers.forEach((layer, order) => {
      const [shown, Kind] =
        layer.kind === "raster" ? [this.rasters, TileLayer] : [this.objects, ObjectLayer];
      if (!shown.has(layer.id)) shown.set(layer.id, new Kind(this, layer));
      shown.get(layer.id).update(layer, order);
    });
    this.panel.update(layers);
    this.swipe.update(this.model.get("split"));
    this.status.update();
  }

  fit() {
    const fit = this.model.get("fit");
    if (!fit) return;
    const [west, south, east, north] = fit;
    this.map.fitBounds([[south, west], [north, east]], { animate: false, padding: [20, 20] });
    this.model.set("fit", null);
    this.say("fitted", {});
  }

  close() {
    clearTimeout(this.late);
    clearInterval(this.watching);
    this.leave();
    window.removeEventListener("pagehide", this.leave);
    this.model.off("msg:custom", this.hear);
    this.model.off("change:layers change:split", this.refresh);
    this.model.off("change:fit", this.refit);
    this.map.off("moveend resize", this.moved);
    for (const layer of [...this.rasters.values(), ...this.objects.values()]) layer.close();
    for (const part of this.parts) part.close();
  }
}

// Find the Leaflet map that an element stands on. Its model has a view for each output.
async function findMap(model, el, gone) {
  const reference = model.get("map").replace("IPY_MODEL_", "");
  const widget = await model.widget_manager.get_model(reference);
  while (!gone()) {
    for (const promise of Object.values(widget.views ?? {})) {
      const view = await promise;
      if (view.obj && view.el.contains(el)) return view.obj;
    }
    await new Promise((resolve) => setTimeout(resolve, FIND_MS));
  }
  return null;
}

function render({ model, el }) {
  let stage = null;
  let gone = false;
  findMap(model, el, () => gone).then((map) => {
    if (!map) return;
    const control = el.closest(".leaflet-control");
    if (control) control.style.display = "none"; // what is seen stands in controls of its own
    stage = new Stage(map, model);
  });
  return () => {
    gone = true;
    stage?.close();
  };
}

export default { render };
