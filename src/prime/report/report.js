"use strict";
// Draws each figure when it comes near the window, one panel under the other where the page is narrow,
// and again when the width changes. Offers no button that could send anything anywhere.
(function () {
  const main = document.querySelector("main");
  const contents = document.querySelector("nav details");
  const phone = window.matchMedia("(max-width: 62rem)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const canvases = Array.from(document.querySelectorAll(".canvas"));
  const drawn = new Set();
  const pen = document.createElement("canvas").getContext("2d");
  const options = {
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    showSendToCloud: false,
    plotlyServerURL: "",
  };

  function fold() {
    contents.open = !phone.matches;
  }

  function narrow() {
    return main.clientWidth < 640;
  }

  function size(canvas) {
    const found = canvas.dataset;
    canvas.style.height = (narrow() ? found.narrowHeight : found.height) + "px";
    canvas.style.minWidth = (narrow() ? found.narrowWidth : found.width) + "px";
  }

  function drawing(canvas) {
    const found = JSON.parse(document.getElementById(canvas.id + "/data").textContent);
    let data = found.data;
    let layout = found.layout;
    if (narrow()) {
      data = data.map((trace, place) => Object.assign({}, trace, found.narrow.changes[place]));
      layout = found.narrow.layout;
    }
    layout.autosize = true;
    layout.uirevision = narrow();
    if (touch) layout.dragmode = false;
    (layout.annotations || []).forEach((note) => shorten(note, layout, canvas.clientWidth));
    return { data: data, layout: layout };
  }

  // Cuts lines over a panel where they would run into the next one; all of them then show on hover.
  function shorten(note, layout, width) {
    const axis = / domain$/.test(note.xref) && layout[note.xref.replace(/ domain$/, "").replace("x", "xaxis")];
    const margin = layout.margin || {};
    if (!axis || !axis.domain || note.x !== 0 || note.y !== 1 || !/ domain$/.test(note.yref)) return;
    const starts = Object.keys(layout)
      .filter((key) => key.startsWith("xaxis") && layout[key].domain)
      .map((key) => layout[key].domain[0]);
    const next = Math.min(...starts.filter((start) => start > axis.domain[0] + 1e-6));
    const area = width - (margin.l || 80) - (margin.r || 80);
    const room = next < 1 ? (next - axis.domain[0]) * area - 8 : (1 - axis.domain[0]) * area + (margin.r || 80) - 8;
    const lines = note.text.split("<br>");
    const fitting = lines.map((line) => shortened(line, room, layout.font.family));
    if (fitting.join() !== lines.join()) {
      note.hovertext = note.text;
      note.captureevents = true;
      note.text = fitting.join("<br>");
    }
  }

  function shortened(line, room, family) {
    const parts = line.match(/^((?:<[^>]*>)*)([^<]*)((?:<[^>]*>)*)$/);
    if (!parts) return line;
    const bold = /<b>/.test(parts[1]);
    pen.font = (bold ? "bold 14px " : "12px ") + family;
    const text = new DOMParser().parseFromString(parts[2], "text/html").body.textContent;
    if (pen.measureText(text).width <= room) return line;
    const letters = Array.from(text);
    while (letters.length > 1 && pen.measureText(letters.join("") + "…").width > room) letters.pop();
    const kept = letters.join("").trimEnd().replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    return parts[1] + kept + "…" + parts[3];
  }

  function draw(canvas) {
    const figure = canvas.closest("figure");
    drawn.add(canvas);
    try {
      const made = drawing(canvas);
      Plotly.react(canvas, made.data, made.layout, options).catch(() => figure.classList.add("failed"));
    } catch (error) {
      figure.classList.add("failed");
      throw error;
    }
  }

  const near = new IntersectionObserver(
    function (entries) {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          near.unobserve(entry.target);
          draw(entry.target);
        }
      }
    },
    { rootMargin: "800px" },
  );

  let width = main.clientWidth;
  let waiting = 0;
  window.addEventListener("resize", function () {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(function () {
      if (main.clientWidth === width) return;
      width = main.clientWidth;
      canvases.forEach(size);
      drawn.forEach(draw);
    }, 150);
  });
  window.addEventListener("beforeprint", function () {
    for (const details of document.querySelectorAll("main details")) details.open = true;
  });
  contents.addEventListener("click", function (event) {
    if (phone.matches && event.target.closest("a")) contents.open = false;
  });

  phone.addEventListener("change", fold);
  fold();
  canvases.forEach(size);
  canvases.forEach((canvas) => near.observe(canvas));
})();
