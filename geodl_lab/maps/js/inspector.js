// Click: what every layer holds at this place, as the kernel reads it from the raster itself.

class Inspector {
  constructor(stage) {
    this.stage = stage;
    this.touched = [];
    this.click = (event) => this.ask(event.latlng);
    this.enter = (event) => {
      if (event.key === "Enter" && event.target === stage.map.getContainer()) {
        this.ask(stage.map.getCenter());
      }
    };
    stage.map.on("click", this.click);
    stage.map.getContainer().addEventListener("keydown", this.enter);
  }

  // An object was clicked; the map's own click follows.
  touch(layer, properties) {
    this.touched.push({ layer, properties });
  }

  ask(place) {
    const { map } = this.stage;
    const touched = this.touched.splice(0);
    if (this.stage.tools.busy() || map.pm?.globalDrawModeEnabled?.()) return;
    if (map.pm?.globalEditModeEnabled?.() || map.pm?.globalRemovalModeEnabled?.()) return;
    this.body = make("div", { class: "geodl-values" });
    for (const { layer, properties } of touched) this.body.append(objectTable(layer, properties));
    this.waiting = make("p", { class: "geodl-note" }, "Reading …");
    this.body.append(this.waiting);
    this.popup = window.L.popup(this.shape())
      .setLatLng(place).setContent(this.body).openOn(map);
    this.asked = String(Math.random());
    this.stage.say("inspect", { asked: this.asked, place: [place.lng, place.lat] });
  }

  // Beside the tools at the left, and below the top.
  shape() {
    const { x, y } = this.stage.map.getSize();
    const sides = { autoPanPaddingTopLeft: [56, 10], autoPanPaddingBottomRight: [10, 30] };
    return { minWidth: 220, maxWidth: Math.min(330, x - 110), maxHeight: y - 110, ...sides };
  }

  show({ asked, place, layers }) {
    if (asked !== this.asked) return;
    this.waiting.remove();
    for (const { name, rows } of layers) this.body.append(table(name, rows));
    this.body.append(table("Place", place));
    this.popup.update();
  }

  close() {
    this.stage.map.off("click", this.click);
    this.stage.map.getContainer().removeEventListener("keydown", this.enter);
  }
}

function objectTable(layer, properties) {
  const hidden = new Set(["color"]);
  const rows = Object.entries(properties).filter(([key, value]) => !hidden.has(key) && value != null);
  return table(layer, rows.map(([key, value]) => [key, String(value)]));
}

function table(caption, rows) {
  const lines = rows.map(([key, value]) =>
    make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, value)),
  );
  return make("table", {}, make("caption", {}, caption), make("tbody", {}, ...lines));
}
