// Objects as shapes on a canvas of their own: thousands of them stay quick.

class ObjectLayer {
  constructor(stage, layer) {
    this.stage = stage;
    this.id = layer.id;
    this.version = null;
    this.shapes = null;
    stage.map.getPane("geodl-objects") ?? this.makePane();
  }

  // One canvas for all objects, as the upper one of two would take the mouse from the lower.
  makePane() {
    const { map } = this.stage;
    map.createPane("geodl-objects").style.zIndex = 390; // drawn shapes lie above, at 400
    map.geodlCanvas = window.L.canvas({ pane: "geodl-objects", tolerance: 3 });
  }

  update(layer, order) {
    this.layer = layer;
    this.order = order;
    if (layer.version !== this.version) this.stage.say("objects", { layer: this.id });
    this.version = layer.version;
    this.restyle();
  }

  draw(json) {
    const L = window.L;
    const found = JSON.parse(json);
    this.shapes?.remove();
    const base = { renderer: this.stage.map.geodlCanvas, pane: "geodl-objects" };
    this.shapes = L.geoJSON(found, {
      ...base,
      style: (feature) => this.style(feature),
      pointToLayer: (feature, place) => L.circleMarker(place, { ...base, radius: 5 }),
      onEachFeature: (feature, shape) => this.bind(feature, shape),
    });
    this.restyle();
  }

  style({ properties }) {
    const { opacity } = this.layer;
    const color = properties.color;
    return { color, weight: 2, opacity, fillColor: color, fillOpacity: 0.15 * opacity };
  }

  bind(feature, shape) {
    const about = caption(feature.properties);
    if (about) shape.bindTooltip(make("span", {}, about), { sticky: true });
    shape.on("mouseover", () => shape.setStyle({ weight: 4 }));
    shape.on("mouseout", () => shape.setStyle({ weight: 2 }));
    shape.on("click", () => this.stage.inspector.touch(this.layer.name, feature.properties));
  }

  restyle() {
    if (!this.shapes) return;
    if (!this.layer.visible) return void this.shapes.remove();
    this.shapes.addTo(this.stage.map);
    if (this.styled !== this.layer.opacity) this.shapes.setStyle((feature) => this.style(feature));
    this.styled = this.layer.opacity;
  }

  close() {
    this.shapes?.remove();
  }
}

function caption({ label, score }) {
  const share = typeof score === "number" ? score.toFixed(2) : null;
  return [label, share].filter((part) => part != null && part !== "").join(" ");
}
