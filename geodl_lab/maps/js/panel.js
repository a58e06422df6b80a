// The list of layers, the uppermost first: shown or not, opacity, order, legend.

const NARROW = 600; // pixels of a map on which the list begins closed

class Panel {
  constructor(stage) {
    this.stage = stage;
    this.rows = new Map();
    this.list = make("ul", { class: "geodl-rows" });
    this.empty = make("p", { class: "geodl-note" }, "No layers yet.");
    this.wide = stage.map.getSize().x >= NARROW;
    this.box = make(
      "details",
      { class: "geodl-panel", open: this.wide, "aria-label": "Layers" },
      make("summary", {}, "Layers"), this.empty, this.list,
    );
    this.control = addControl(stage.map, this.box, "topright");
    this.limit = () => {
      const { x, y } = stage.map.getSize();
      this.list.style.maxHeight = `${Math.max(80, y - 90)}px`;
      if (this.wide !== x >= NARROW) this.box.open = this.wide = x >= NARROW;
    };
    stage.map.on("resize", this.limit);
    this.limit();
  }

  update(layers) {
    const ids = new Set(layers.map((layer) => layer.id));
    for (const [id, row] of this.rows) if (!ids.has(id)) (row.box.remove(), this.rows.delete(id));
    this.empty.hidden = layers.length > 0;
    const wanted = [...layers].reverse().map((layer) => this.row(layer).box);
    const focus = document.activeElement;
    wanted.forEach((box, at) => {
      if (this.list.children[at] !== box) this.list.insertBefore(box, this.list.children[at]);
    });
    if (this.list.contains(focus)) focus.focus(); // moving an element takes the focus from it
  }

  row(layer) {
    if (!this.rows.has(layer.id)) this.rows.set(layer.id, new Row(this.stage, layer));
    const row = this.rows.get(layer.id);
    row.update(layer);
    return row;
  }

  close() {
    this.stage.map.off("resize", this.limit);
    this.control.remove();
  }
}

class Row {
  constructor(stage, layer) {
    const { id, name } = layer;
    // At once, also while the kernel is busy; it is told when the slider is let go.
    const show = (what) => {
      const now = stage.layers.map((other) => (other.id === id ? { ...other, ...what } : other));
      stage.model.set("layers", now);
      stage.update();
      return what;
    };
    const tell = (what) => stage.say("change", { layer: id, ...what });
    const share = () => ({ opacity: Number(this.opacity.value) / 100 });
    this.shown = make("input", {
      type: "checkbox",
      onchange: () => tell(show({ visible: this.shown.checked })),
    });
    this.opacity = make("input", {
      type: "range", min: 0, max: 100, step: 1, "aria-label": `Opacity of ${name}`,
      title: "Opacity",
      oninput: () => show(share()),
      onchange: () => tell(share()),
    });
    this.choice = make("select", {
      "aria-label": `What ${name} shows`, hidden: true,
      onchange: () => stage.say("choose", { layer: id, choice: this.choice.value }),
    });
    this.legend = make("div", { class: "geodl-legend" });
    const move = (by) => stage.say("move", { layer: id, by });
    const zoom = () => {
      const [west, south, east, north] = stage.layer(id).bounds;
      stage.map.fitBounds([[south, west], [north, east]]);
    };
    this.box = make(
      "li",
      { class: "geodl-row" },
      make(
        "div",
        { class: "geodl-line" },
        make("label", { class: "geodl-name" }, this.shown, make("span", { title: name }, name)),
        iconButton("up", `Move ${name} up`, () => move(1)),
        iconButton("down", `Move ${name} down`, () => move(-1)),
        iconButton("target", `Zoom to ${name}`, zoom),
      ),
      make("label", { class: "geodl-line" }, make("span", {}, "Opacity"), this.opacity),
      this.choice,
      this.legend,
    );
  }

  update(layer) {
    this.shown.checked = layer.visible;
    this.opacity.value = Math.round(layer.opacity * 100);
    this.choice.hidden = !layer.choices.length;
    if (this.choice.options.length !== layer.choices.length) {
      this.choice.replaceChildren(...layer.choices.map((name) => make("option", {}, name)));
    }
    this.choice.value = layer.choice;
    const legend = JSON.stringify(layer.legend);
    if (legend !== this.drawn) this.legend.replaceChildren(...drawLegend(layer.legend));
    this.drawn = legend;
  }
}

function drawLegend(legend) {
  if (!legend) return [];
  if (legend.kind === "classes") {
    const lines = legend.swatches.map(({ name, color }) => {
      const swatch = make("span", { class: "geodl-swatch" });
      swatch.style.background = color;
      return make("li", {}, swatch, name);
    });
    return [make("ul", { class: "geodl-swatches" }, ...lines)];
  }
  const ramp = make("div", { class: "geodl-ramp", role: "img" });
  ramp.setAttribute("aria-label", `${legend.label}: ${legend.low} to ${legend.high}`);
  ramp.style.background = `linear-gradient(to right, ${legend.colors.join(", ")})`;
  const ends = [make("span", {}, legend.low), make("span", {}, legend.high)];
  return [
    make("div", { class: "geodl-note" }, legend.label), ramp,
    make("div", { class: "geodl-ends" }, ...ends),
  ];
}
