// Copies the text of the element that data-copy names, and says so on the button itself.
"use strict";

async function copyText(element) {
  // The clipboard API needs https or localhost; elsewhere the older way still works.
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(element.textContent);
    return;
  }
  const selection = window.getSelection();
  selection.selectAllChildren(element);
  if (!document.execCommand("copy")) throw new Error("the browser did not copy");
  selection.removeAllRanges();
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  const label = button.textContent;
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const element = document.getElementById(button.dataset.copy);
    try {
      await copyText(element);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(element);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}
