// Two layers side by side: a handle in the middle, each layer's pane clipped at it.

const STEP = 0.02; // of the map's width, by an arrow key

class Swipe {
  constructor(stage) {
    this.stage = stage;
    this.fraction = 0.5;
    this.split = null;
    this.handle = make(
      "button",
      {
        type: "button", class: "geodl-handle", role: "slider", "aria-label": "Swipe",
        "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal",
      },
      icon("swipe"),
    );
    this.left = make("span", { class: "geodl-side geodl-left" });
    this.right = make("span", { class: "geodl-side geodl-right" });
    this.bar = make("div", { class: "geodl-swipe", hidden: true }, this.left, this.right, this.handle);
    window.L.DomEvent.disableClickPropagation(this.bar);
    stage.map.getContainer().append(this.bar);
    this.handle.addEventListener("pointerdown", (event) => this.grip(event));
    this.handle.addEventListener("pointermove", (event) => this.drag(event));
    this.handle.addEventListener("keydown", (event) => this.key(event));
    this.clip = () => this.draw();
    stage.map.on("move zoomend resize viewreset", this.clip);
  }

  grip(event) {
    event.preventDefault();
    event.stopPropagation(); // the map is not to be dragged along
    this.handle.setPointerCapture(event.pointerId);
    this.handle.focus();
  }

  drag(event) {
    if (!this.handle.hasPointerCapture(event.pointerId)) return;
    const { left, width } = this.stage.map.getContainer().getBoundingClientRect();
    this.put((event.clientX - left) / width);
  }

  key(event) {
    const step = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP }[event.key];
    const end = { Home: 0, End: 1 }[event.key];
    if (step === undefined && end === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.put(end ?? this.fraction + step);
  }

  put(fraction) {
    this.fraction = Math.min(1, Math.max(0, fraction));
    this.draw();
  }

  update(split) {
    this.split = split;
    this.bar.hidden = !split;
    this.draw();
  }

  draw() {
    const { map, rasters } = this.stage;
    const size = map.getSize();
    const [x0, y0] = [map.containerPointToLayerPoint([0, 0])].map(({ x, y }) => [x, y])[0];
    const [x1, y1] = [x0 + size.x, y0 + size.y];
    const middle = x0 + size.x * this.fraction;
    for (const [id, { pane }] of rasters) {
      const sides = { [this.split?.[0]]: [x0, middle], [this.split?.[1]]: [middle, x1] };
      const side = this.split ? sides[id] : null;
      const box = side && [[side[0], y0], [side[1], y0], [side[1], y1], [side[0], y1]];
      pane.style.clipPath = box ? `polygon(${box.map(([x, y]) => `${x}px ${y}px`).join(", ")})` : "";
    }
    if (!this.split) return;
    this.bar.style.left = `${size.x * this.fraction}px`;
    this.left.textContent = this.stage.layer(this.split[0])?.name ?? "";
    this.right.textContent = this.stage.layer(this.split[1])?.name ?? "";
    this.handle.setAttribute("aria-valuenow", Math.round(this.fraction * 100));
  }

  close() {
    this.stage.map.off("move zoomend resize viewreset", this.clip);
    this.bar.remove();
  }
}
