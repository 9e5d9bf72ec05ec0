// Runs before the first paint: the colours that were chosen here last, or the system's.
"use strict";
(() => {
  try {
    const chosen = localStorage.getItem("scowl-edge.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // A browser that keeps nothing shows the system's colours.
  }
})();
