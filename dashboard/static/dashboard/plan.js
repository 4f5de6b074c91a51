// A plan that runs: asked once a second how far it is, and shown anew when it is over.
"use strict";

const box = document.getElementById("plan-progress");
const byId = (id) => document.getElementById(id);

async function look() {
  try {
    const reply = await fetch(box.dataset.url, { headers: { Accept: "application/json" } });
    if (reply.ok) show(await reply.json());
  } catch {
    byId("plan-state").textContent = "The bridge does not answer; trying again.";
  }
  window.setTimeout(look, 1000);
}

function show(now) {
  if (now.over) {
    window.location.reload();
    return;
  }
  byId("plan-state").textContent = now.shown;
  byId("plan-said").textContent = now.said;
  if (now.expected) {
    byId("plan-bar").max = now.expected;
    byId("plan-bar").value = now.done;
    byId("plan-count").textContent = `${now.done} of at most ${now.expected} fleets`;
  }
}

look();
