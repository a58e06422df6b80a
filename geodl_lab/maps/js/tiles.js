// Tiles of one raster on one map: asked for by message, painted as their pictures come.

const NOTHING =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";

class TileLayer {
  constructor(stage, layer) {
    const L = window.L;
    this.stage = stage;
    this.id = layer.id;
    this.version = layer.version;
    this.tiles = new Map();
    // On a fine screen: the tiles of one zoom level further in, at half the size.
    this.finer = window.devicePixelRatio > 1 ? 1 : 0;
    this.pane = stage.map.createPane(`geodl-${stage.token}-${layer.id}`);
    this.pane.classList.add("geodl-raster");
    this.pane.dataset.layer = layer.name;
    const [west, south, east, north] = layer.bounds;
    const Grid = L.GridLayer.extend({ createTile: (coords, done) => this.create(coords, done) });
    this.grid = new Grid({
      pane: this.pane,
      tileSize: 256 / 2 ** this.finer,
      bounds: [[south, west], [north, east]],
      noWrap: true,
      minZoom: -30,
      maxZoom: 30,
      updateInterval: 50,
      updateWhenIdle: false,
      updateWhenZooming: false, // zoom levels that are only passed through are not asked for
    });
    this.grid.getPane = () => this.pane;
    this.grid.on("tileunload", ({ coords }) => this.unload(coords));
  }

  // How the kernel knows a tile.
  name({ x, y, z }) {
    return [this.id, z + this.finer, x, y];
  }

  create(coords, done) {
    const image = make("img", { alt: "", role: "presentation", draggable: "false" });
    image.src = NOTHING;
    const name = this.name(coords);
    this.tiles.set(name.join("/"), { image, done, name, state: "waiting", url: null });
    this.stage.ask("want", name);
    return image;
  }

  unload(coords) {
    const key = this.name(coords).join("/");
    const tile = this.tiles.get(key);
    if (!tile) return;
    this.tiles.delete(key);
    if (tile.url) URL.revokeObjectURL(tile.url);
    if (this.awaits(tile)) this.stage.ask("drop", tile.name);
    this.stage.status.update();
  }

  // Nothing more comes, or nothing until the map moves ("seen").
  settled(tile) {
    return tile.state !== "waiting" && tile.state !== "partial";
  }

  // Whether the kernel knows that we wait for it.
  awaits(tile) {
    return tile.state === "seen" || !this.settled(tile);
  }

  paint({ z, x, y, state, message }, png) {
    const tile = this.tiles.get([this.id, z, x, y].join("/"));
    if (!tile) return;
    tile.state = state;
    tile.message = message;
    if (this.settled(tile) || png?.byteLength) this.swap(tile, png);
    this.stage.status.update();
  }

  // The old picture stays until the new one is decoded. Until the tile is whole, Leaflet keeps
  // the tiles of the last zoom level beneath it.
  swap(tile, png) {
    const old = tile.url;
    const { image } = tile;
    tile.url = png?.byteLength ? URL.createObjectURL(new Blob([png], { type: "image/png" })) : null;
    image.onload = image.onerror = () => {
      if (old) URL.revokeObjectURL(old);
      image.style.visibility = "inherit";
      if (this.settled(tile)) this.finish(tile);
    };
    image.src = tile.url ?? NOTHING;
  }

  finish(tile) {
    tile.image.dataset.state = tile.state;
    tile.done?.(null, tile.image);
    tile.done = null;
  }

  update(layer, order) {
    this.pane.style.zIndex = 210 + order;
    this.pane.style.opacity = layer.opacity;
    if (layer.visible) this.grid.addTo(this.stage.map);
    else this.grid.remove();
    if (layer.version !== this.version) this.renew();
    this.version = layer.version;
  }

  // Ask for all tiles again; what is seen stays until it is replaced.
  renew(which = () => true) {
    for (const tile of this.tiles.values()) {
      if (!which(tile)) continue;
      tile.state = "waiting";
      this.stage.ask("want", tile.name);
    }
  }

  // What people should know: why there is nothing to be seen, or what went wrong.
  messages(state) {
    const zoom = this.grid._tileZoom + this.finer; // tiles of zoom levels before may still be seen
    const said = [...this.tiles.values()].filter(
      (tile) => tile.state === state && tile.message && tile.name[1] === zoom,
    );
    return new Set(said.map((tile) => tile.message));
  }

  close() {
    this.grid.remove();
    this.pane.remove();
  }
}
