// Tools at the left: measure, save, full screen.

class Tools {
  constructor(stage) {
    this.stage = stage;
    this.points = null;
    this.menu = this.makeMenu();
    this.ruler = iconButton("measure", "Measure distance and area", () => this.toggle(), {
      "aria-pressed": "false",
    });
    this.saver = iconButton("save", "Save", () => this.open(this.menu.hidden), {
      "aria-expanded": "false", "aria-haspopup": "menu",
    });
    this.full = iconButton("full", "Full screen", () => this.fullScreen());
    this.bar = make(
      "div",
      { class: "leaflet-bar geodl-tools", role: "toolbar", "aria-label": "Map tools" },
      this.ruler, this.saver, this.full, this.menu,
    );
    this.control = addControl(stage.map, this.bar, "topleft");
    // Above Geoman's tools, which are put at the end anew whenever one of them is used.
    this.bar.parentNode.querySelector(".leaflet-control-zoom")?.after(this.bar);
    this.readout = make("div", { class: "geodl-readout", hidden: true, role: "status" });
    this.shown = addControl(stage.map, this.readout, "bottomleft");
    this.line = window.L.polygon([], { color: "#b3004b", weight: 3, fillOpacity: 0.1, dashArray: "4" });
    this.line.options.interactive = false;
    this.click = (event) => this.add(event.latlng);
    this.key = (event) => this.press(event);
    stage.map.on("click", this.click);
    this.container = stage.map.getContainer();
    this.container.addEventListener("keydown", this.key, true);
    this.scale = stage.simple ? null : window.L.control.scale({ imperial: false }).addTo(stage.map);
  }

  makeMenu() {
    const item = (what, words) =>
      make("button", { type: "button", role: "menuitem", onclick: () => this.save(what) }, words);
    return make(
      "div",
      { class: "geodl-menu", role: "menu", hidden: true, "aria-label": "Save" },
      item("png", "Picture of the map (PNG)"),
      item("geojson", "Objects and drawn areas (GeoJSON)"),
      item("tif", "Uppermost raster in view (GeoTIFF)"),
    );
  }

  open(is) {
    this.menu.hidden = !is;
    this.saver.setAttribute("aria-expanded", String(is));
    if (is) this.menu.firstChild.focus();
  }

  busy() {
    return this.points !== null;
  }

  toggle() {
    if (this.busy()) return this.stop();
    this.points = [];
    this.ruler.setAttribute("aria-pressed", "true");
    this.container.classList.add("geodl-measuring");
    this.stage.map.doubleClickZoom.disable();
    this.line.addTo(this.stage.map);
    this.tell("Click places on the map, or press Enter for its middle; Escape ends.");
  }

  stop() {
    this.points = null;
    this.ruler.setAttribute("aria-pressed", "false");
    this.container.classList.remove("geodl-measuring");
    this.stage.map.doubleClickZoom.enable();
    this.line.setLatLngs([]).remove();
    this.tell("");
  }

  add(place) {
    if (!this.busy()) return;
    this.points.push([place.lng, place.lat]);
    this.line.setLatLngs(this.points.map(([x, y]) => [y, x]));
    this.stage.say("measure", { points: this.points });
  }

  press(event) {
    if (event.key === "Escape") {
      if (this.busy()) this.stop();
      this.open(false);
    }
    if (this.busy() && event.key === "Enter" && event.target === this.container) {
      event.stopPropagation();
      this.add(this.stage.map.getCenter());
    }
  }

  measured({ words }) {
    if (this.busy()) this.tell(words);
  }

  tell(words) {
    this.readout.textContent = words;
    this.readout.hidden = !words;
  }

  save(what) {
    this.open(false);
    this.saver.focus();
    this.tell("Saving …");
    this.stage.say("save", { what, ...this.stage.place() });
  }

  // A link to the bytes themselves: also where the page cannot fetch from the kernel's machine.
  download({ name, type, words }, buffer) {
    this.tell(words ?? "");
    if (!name) return;
    const url = URL.createObjectURL(new Blob([buffer], { type }));
    const link = make("a", { href: url, download: name });
    this.bar.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.container.requestFullscreen();
  }

  close() {
    this.stop();
    this.stage.map.off("click", this.click);
    this.container.removeEventListener("keydown", this.key, true);
    for (const control of [this.control, this.shown, this.scale]) control?.remove();
  }
}
