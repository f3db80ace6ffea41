// One sound at a time, and a word where the folder with the sounds did not travel with the page.
"use strict";
(function () {
  document.addEventListener("play", function (event) {
    document.querySelectorAll("audio").forEach(function (other) { if (other !== event.target) other.pause(); });
  }, true);
  document.addEventListener("error", function (event) {
    var card = event.target.closest ? event.target.closest(".clip") : null;
    if (!card || card.querySelector(".problem")) return;
    var problem = document.createElement("p");
    problem.className = "problem";
    problem.textContent = "Its sound and picture are not beside this page: keep the folder audit_files with it.";
    card.insertBefore(problem, card.children[1]);
    card.classList.add("missing");
  }, true);
})();
