// Hides the rows of a table that do not have the words typed above it.
"use strict";
(function () {
  document.querySelectorAll("[data-find]").forEach(function (box) {
    var rows = document.getElementById(box.dataset.find).querySelectorAll("tbody tr");
    var input = box.querySelector("input");
    box.hidden = rows.length < 2;
    input.addEventListener("input", function () {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
      });
    });
  });
})();
