// The table of clips: sorts by any column, filters by words and by columns, fifty rows at a time.
// All of it is text from a corpus: it becomes text nodes, never markup.
"use strict";
(function () {
  var ROWS = 50;
  var box = document.getElementById("clips");
  if (!box) return;
  var data = JSON.parse(document.getElementById("clips-data").textContent);
  var at = {};
  data.columns.forEach(function (column, i) { at[column.key] = i; });
  var find = document.getElementById("clips-find");
  var pickers = Array.prototype.filter.call(box.querySelectorAll("select[data-column]"), function (picker) {
    var known = picker.dataset.column in at;
    picker.parentNode.hidden = !known;
    return known;
  });
  var order = document.getElementById("clips-order");
  var count = document.getElementById("clips-count");
  var more = document.getElementById("clips-more");
  var head = box.querySelector("thead");
  var body = box.querySelector("tbody");
  var sorted = { column: -1, down: false };
  var matching = [], shown = 0;

  function make(tag, text, className) {
    var element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    if (className) element.className = className;
    return element;
  }
  function written(value, kind) {
    if (value === null) return "";
    if (kind === "share") return (value > 0 && value < 0.01 ? (100 * value).toFixed(2) : (100 * value).toFixed(0)) + " %";
    if (kind === "seconds") return value.toFixed(2);
    if (kind === "number") return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
    return String(value);
  }
  function parts(row, key) {
    var value = row[at[key]];
    return value === null || value === "" ? [""] : key === "reasons" ? value.split(",") : [value];
  }

  var player = document.createElement("audio"), playing = null;
  player.preload = "none";
  box.appendChild(player);
  function stopped() {
    if (playing) { playing.textContent = "▶"; playing.setAttribute("aria-pressed", "false"); }
    playing = null;
  }
  ["pause", "ended", "error"].forEach(function (event) { player.addEventListener(event, stopped); });
  function playButton(source, name) {
    var button = make("button", "▶", "play");
    button.type = "button";
    button.setAttribute("aria-label", "play " + name);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", function () {
      var again = playing === button;
      player.pause();
      stopped();
      if (again) return;
      playing = button;
      button.textContent = "■";
      button.setAttribute("aria-pressed", "true");
      player.src = source;
      player.play().catch(function () { if (playing === button) stopped(); });
    });
    return button;
  }

  function line(row) {
    var tr = make("tr");
    data.columns.forEach(function (column, i) {
      var value = row[i];
      var cell = make("td", undefined, column.kind === "words" ? column.key : column.kind === "sound" || column.kind === "id" ? column.kind : "number");
      if (column.title) cell.dataset.title = column.title;
      if (column.kind === "sound") { if (value) cell.appendChild(playButton(value, row[at.clip])); }
      else if (column.key === "verdict") cell.appendChild(make("span", { keep: "kept", soft: "flagged", hard: "refused" }[value] || value, "chip " + ({ keep: "yes", soft: "care", hard: "no" }[value] || "")));
      else cell.textContent = written(column.key === "reasons" && value ? value.split(",").join(", ") : value, column.kind);
      if (value === null || value === "") cell.classList.add("empty");
      tr.appendChild(cell);
    });
    return tr;
  }
  function showMore() {
    var some = document.createDocumentFragment();
    matching.slice(shown, shown + ROWS).forEach(function (row) { some.appendChild(line(row)); });
    body.appendChild(some);
    shown = Math.min(matching.length, shown + ROWS);
    more.hidden = shown >= matching.length;
    more.textContent = "Show " + Math.min(ROWS, matching.length - shown) + " more";
    count.textContent = matching.length.toLocaleString("en") + " of " + data.rows.length.toLocaleString("en") + " listed clips match; " + shown.toLocaleString("en") + " shown.";
  }
  function compare(a, b) {
    var x = a[sorted.column], y = b[sorted.column];
    var noX = x === null || x === "", noY = y === null || y === "";
    if (noX || noY) return noX - noY;  // what is unknown comes last either way
    var result = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
    return sorted.down ? -result : result;
  }
  function update() {
    var words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = data.rows.filter(function (row) {
      var fits = pickers.every(function (picker) {
        return picker.value === "*" || parts(row, picker.dataset.column).indexOf(picker.value) >= 0;
      });
      if (!fits || !words.length) return fits;
      var text = row.filter(function (value) { return typeof value === "string"; }).join(" ").toLowerCase();
      return words.every(function (word) { return text.indexOf(word) >= 0; });
    });
    if (sorted.column >= 0) matching.sort(compare);
    player.pause();
    body.textContent = "";
    shown = 0;
    showMore();
    head.querySelectorAll("th").forEach(function (th, i) {
      th.setAttribute("aria-sort", i !== sorted.column ? "none" : sorted.down ? "descending" : "ascending");
    });
    order.value = sorted.column < 0 ? "" : sorted.column + (sorted.down ? "d" : "u");
  }
  function sortBy(i) {
    sorted = { column: i, down: sorted.column === i ? !sorted.down : false };
    update();
  }

  var titles = make("tr");
  data.columns.forEach(function (column, i) {
    var th = make("th", undefined, column.kind === "words" || column.kind === "id" ? "" : "number");
    th.scope = "col";
    if (column.kind === "sound") th.textContent = "listen";
    else {
      var button = make("button", column.title);
      button.type = "button";
      button.addEventListener("click", function () { sortBy(i); });
      th.appendChild(button);
      [["u", " ↑"], ["d", " ↓"]].forEach(function (way) {
        var option = make("option", column.title + way[1]);
        option.value = i + way[0];
        order.appendChild(option);
      });
    }
    titles.appendChild(th);
  });
  head.appendChild(titles);
  pickers.forEach(function (picker) {
    var seen = {};
    data.rows.forEach(function (row) {
      parts(row, picker.dataset.column).forEach(function (value) { seen[value] = (seen[value] || 0) + 1; });
    });
    Object.keys(seen).sort().slice(0, 500).forEach(function (value) {
      var option = make("option", (value || (picker.dataset.column === "reasons" ? "none" : "unknown")) + " (" + seen[value].toLocaleString("en") + ")");
      option.value = value;
      picker.appendChild(option);
    });
    picker.addEventListener("change", update);
  });
  find.addEventListener("input", update);
  order.addEventListener("change", function () {
    sorted = order.value ? { column: parseInt(order.value, 10), down: order.value.slice(-1) === "d" } : { column: -1, down: false };
    update();
  });
  more.addEventListener("click", showMore);
  box.hidden = false;
  update();
})();
