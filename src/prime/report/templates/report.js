"use strict";
// Draws each figure when it comes near the window, with one panel under the other where the window is narrow.
// `ast` makes Vega interpret its expressions, because the page's policy forbids `eval`.
(function () {
  const contents = document.querySelector("nav details");
  const folded = window.matchMedia("(max-width: 62rem)");
  const phone = window.matchMedia("(max-width: 640px)");
  const options = { ast: true, actions: false, renderer: "svg", tooltip: { theme: "custom" } };
  const drawn = new Map();

  function fold() {
    contents.open = !folded.matches;
  }

  function draw(canvas) {
    const found = JSON.parse(document.getElementById(canvas.id + "/data").textContent);
    const spec = Object.assign({ datasets: found.datasets }, phone.matches ? found.narrow : found.wide);
    const before = drawn.get(canvas) || Promise.resolve(null);
    const now = before.then(function (view) {
      if (view) view.finalize();
      return vegaEmbed(canvas, spec, options);
    });
    now.catch(() => canvas.closest("figure").classList.add("failed"));
    drawn.set(canvas, now);
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

  window.addEventListener("beforeprint", function () {
    for (const details of document.querySelectorAll("main details")) details.open = true;
  });
  contents.addEventListener("click", function (event) {
    if (folded.matches && event.target.closest("a")) contents.open = false;
  });
  folded.addEventListener("change", fold);
  phone.addEventListener("change", () => Array.from(drawn.keys()).forEach(draw));

  fold();
  document.querySelectorAll(".canvas").forEach((canvas) => near.observe(canvas));
})();
