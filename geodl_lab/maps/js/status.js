// What is going on: windows done, why a layer is empty, what went wrong.

class Status {
  constructor(stage) {
    this.stage = stage;
    this.sources = new Map();
    this.progress = make("progress", { max: 1, value: 0, "aria-label": "Windows done" });
    this.count = make("span");
    this.running = make("div", { class: "geodl-running", hidden: true }, this.progress, this.count);
    this.hints = make("div", { class: "geodl-hints" });
    this.problems = make("div", { class: "geodl-problems" });
    this.late = make("div", { class: "geodl-problem", hidden: true });
    this.late.textContent =
      "The kernel does not answer: it is busy or gone. If this stays, run the cell again.";
    this.box = make(
      "div",
      { class: "geodl-status", role: "status", "aria-live": "polite" },
      this.late, this.problems, this.hints, this.running,
    );
    this.control = addControl(stage.map, this.box, "bottomleft");
  }

  silent(is) {
    this.late.hidden = !is;
  }

  // Each source of progress counts by itself: the painter, each live detector.
  report({ source, done, total }) {
    if (done < total) this.sources.set(source, { done, total });
    else this.sources.delete(source);
    const all = [...this.sources.values()];
    this.bar(
      all.reduce((sum, one) => sum + one.done, 0),
      all.reduce((sum, one) => sum + one.total, 0),
    );
  }

  bar(done, total) {
    this.running.hidden = done >= total;
    this.progress.max = Math.max(total, 1);
    this.progress.value = done;
    this.count.textContent = `${done} of ${total} windows`;
  }

  complain(sentence) {
    const known = [...this.problems.children].some((line) => line.dataset.text === sentence);
    if (known) return;
    const line = make("div", { class: "geodl-problem", "data-text": sentence }, sentence);
    line.append(iconButton("close", "Dismiss", () => line.remove()));
    this.problems.append(line);
    while (this.problems.children.length > 3) this.problems.firstChild.remove();
  }

  // Hints stand as long as a tile in view has one; errors until they are dismissed.
  update() {
    const hints = new Set();
    for (const layer of this.stage.layers) {
      if (!layer.visible) continue;
      if (layer.hint) hints.add(`${layer.name}: ${layer.hint}`);
      const raster = this.stage.rasters.get(layer.id);
      for (const message of raster?.messages("hint") ?? []) hints.add(message);
      for (const message of raster?.messages("failed") ?? []) {
        this.complain(`${layer.name}: ${message}`);
      }
    }
    const lines = [...hints].map((hint) => make("div", { class: "geodl-hint" }, hint));
    const now = [...this.hints.children].map((line) => line.textContent).join("\n");
    if (now !== [...hints].join("\n")) this.hints.replaceChildren(...lines);
  }

  close() {
    this.control.remove();
  }
}
