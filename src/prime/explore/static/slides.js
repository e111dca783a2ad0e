// Slides of a patient: marked tokens, and the slide itself under its map where the file is at hand.

const SCRIPT = "static/openseadragon.min.js";
let loading = null;

// Mark the tiles of one token; the same button takes the mark away.
function mark(section, button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  for (const other of section.querySelectorAll("button[data-token]")) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", String(on));
  for (const tile of section.querySelectorAll("path[data-token]")) {
    tile.classList.toggle("dim", on && tile.dataset.token !== button.dataset.token);
    tile.classList.toggle("on", on && tile.dataset.token === button.dataset.token);
  }
}

// The viewer would write a style of its own into the page, which the policy refuses, unless it finds an element of that
// name: this one is none of HTML's and does nothing.
function script() {
  loading ??= new Promise((done, failed) => {
    const style = document.createElementNS(null, "style");
    style.setAttribute("data-openseadragon-mobile-css", "");
    document.head.append(style);
    const made = document.createElement("script");
    made.src = SCRIPT;
    made.addEventListener("load", done);
    made.addEventListener("error", failed);
    document.head.append(made);
  });
  return loading;
}

// The viewer of a slide; its map moves onto the picture.
function view(box, say) {
  const { viewer: place, name } = box.dataset;
  const [width, height, levels, tile, overlap] = ["width", "height", "levels", "tile", "overlap"].map((key) => Number(box.dataset[key]));
  const viewer = window.OpenSeadragon({
    element: box,
    drawer: "canvas",
    showNavigationControl: false,
    animationTime: 0.4,
    maxZoomPixelRatio: 2,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, scrollToZoom: false },
    tileSources: {
      width,
      height,
      tileSize: tile,
      tileOverlap: overlap,
      minLevel: 0,
      maxLevel: levels - 1,
      getTileUrl: (level, x, y) => `${place}/${level}/${x}_${y}.jpg`,
    },
  });
  const figure = box.closest("figure");
  const map = figure.querySelector("svg.tiles").cloneNode(true);
  map.setAttribute("viewBox", `0 0 ${width} ${height}`);
  map.setAttribute("preserveAspectRatio", "none");
  map.setAttribute("aria-hidden", "true");
  map.classList.add("over");
  const fade = figure.querySelector("[data-do=fade]");
  const faded = () => (map.style.opacity = String(fade.value / 100));
  viewer.addHandler("open", () => {
    viewer.addOverlay({ element: map, location: new window.OpenSeadragon.Rect(0, 0, 1, height / width) });
    faded();
    box.dataset.open = "yes";
  });
  viewer.addHandler("tile-load-failed", () => say(`A part of slide ${name} could not be read.`));
  viewer.canvas.setAttribute("aria-label", `Slide ${name}: arrows move, plus and minus zoom, 0 shows the whole`);
  viewer.canvas.setAttribute("role", "application");
  const tools = figure.querySelector(".viewer-tools");
  tools.hidden = false;
  const steps = { in: () => viewer.viewport.zoomBy(1.6), out: () => viewer.viewport.zoomBy(1 / 1.6), home: () => viewer.viewport.goHome() };
  for (const button of tools.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      steps[button.dataset.do]();
      viewer.viewport.applyConstraints();
    });
  }
  fade.addEventListener("input", faded);
  return viewer;
}

// Give life to the slides of a patient's page; returns a function that ends it.
export async function slides(page, say) {
  for (const section of page.querySelectorAll("section.slides")) {
    section.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-token]");
      if (button) mark(section, button);
    });
  }
  const boxes = [...page.querySelectorAll("[data-viewer]")];
  if (!boxes.length) return () => {};
  await script();
  const viewers = boxes.filter((box) => box.isConnected).map((box) => view(box, say));
  return () => viewers.forEach((viewer) => viewer.destroy());
}
