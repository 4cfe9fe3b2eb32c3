"use strict";
const steps = [...document.querySelectorAll("details.step")];
const controls = document.getElementById("controls");
if (controls && steps.length) {
  controls.hidden = false;
  controls.addEventListener("click", (event) => {
    const what = event.target.dataset.do;
    if (!what) return;
    for (const step of steps) {
      step.open = what === "open" || (what === "failed" && step.classList.contains("failed"));
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { j: 1, k: -1 }[event.key];
    if (!way) return;
    const here = steps.indexOf(document.activeElement.closest("details.step"));
    const next = steps[here < 0 && way < 0 ? -1 : here + way];
    if (next) {
      next.querySelector("summary").focus();
      next.scrollIntoView({ block: "nearest" });
    }
  });
}
