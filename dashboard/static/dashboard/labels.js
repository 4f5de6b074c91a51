// Gives Django's own widgets what screen readers miss in them. Runs after Django made those widgets.
"use strict";

window.addEventListener("load", () => {
  // A span has no role, and without one its label counts for nothing.
  for (const tip of document.querySelectorAll("span.help-tooltip[aria-label]")) tip.setAttribute("role", "img");
});
