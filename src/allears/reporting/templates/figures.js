// Draws every figure of the page in the page's colours, and again when they change.
"use strict";
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function colours() {
    var style = getComputedStyle(document.documentElement);
    return { ink: style.getPropertyValue("--ink").trim(), line: style.getPropertyValue("--line").trim() };
  }
  function dressed(layout) {
    var c = colours();
    layout.font = Object.assign({}, layout.font, { color: c.ink, family: "system-ui, sans-serif", size: 12 });
    Object.keys(layout).filter(function (key) { return /^[xy]axis/.test(key); }).forEach(function (key) {
      layout[key] = Object.assign({}, layout[key], { gridcolor: c.line, linecolor: c.line, tickcolor: c.line });
    });
    return layout;
  }
  var plots = [];
  document.querySelectorAll(".plot").forEach(function (box) {
    var spec = JSON.parse(box.querySelector("script").textContent);
    spec.data.forEach(function (trace) {
      ["error_x", "error_y"].forEach(function (key) { if (trace[key]) trace[key].color = colours().ink; });
    });
    box.textContent = "";
    Plotly.newPlot(box, spec.data, dressed(spec.layout), { responsive: true, displayModeBar: false });
    plots.push([box, spec]);
  });
  dark.addEventListener("change", function () {
    plots.forEach(function (plot) {
      plot[1].data.forEach(function (trace) {
        ["error_x", "error_y"].forEach(function (key) { if (trace[key]) trace[key].color = colours().ink; });
      });
      Plotly.react(plot[0], plot[1].data, dressed(plot[1].layout), { responsive: true, displayModeBar: false });
    });
  });
})();
