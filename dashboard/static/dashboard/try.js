// Tries a model: a key for this page, a request as an app sends it, and the stream as it comes.
"use strict";

const form = document.getElementById("try");
const byId = (id) => document.getElementById(id);
const KNOWN_AFTER_MS = 1000; // every process knows a new key within a second
let held = { key: "", until: 0 };
let running = null;

function state(text, bad = false) {
  byId("try-state").textContent = text;
  byId("try-state").className = bad ? "bad" : "";
}

async function key() {
  if (performance.now() < held.until) return held.key;
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const reply = await fetch(form.dataset.key, { method: "POST", headers: { "X-CSRFToken": token } });
  const said = await reply.json();
  if (!reply.ok) throw new Error(said.error);
  held = { key: said.key, until: performance.now() + (said.lasts_s - 30) * 1000 };
  await new Promise((done) => setTimeout(done, KNOWN_AFTER_MS));
  return held.key;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

function showHeaders(reply) {
  const id = reply.headers.get("X-Request-Id") || "";
  byId("try-request").textContent = id;
  byId("try-request").href = `${form.dataset.usage}?q=${encodeURIComponent(id)}`;
  byId("try-node").textContent = reply.headers.get("X-Bridge-Node") || "–";
  byId("try-load").textContent = reply.headers.get("X-Bridge-Load") || "–";
  const queued = reply.headers.get("X-Bridge-Queue-Ms");
  byId("try-queue").textContent = queued === null ? "–" : `${queued} ms`;
  for (const name of ["first", "tokens", "speed"]) byId(`try-${name}`).textContent = "–";
  byId("try-figures").hidden = false;
}

async function show(reply, began) {
  let first = 0;
  let usage = null;
  for await (const event of events(reply)) {
    if (event.error) throw new Error(event.error.message);
    const delta = event.choices?.[0]?.delta || {};
    const text = delta.content || delta.reasoning || "";
    if (text && !first) {
      first = performance.now();
      byId("try-first").textContent = `${Math.round(first - began)} ms`;
      state("The answer comes …");
    }
    byId("try-answer").append(text);
    usage = event.usage || usage;
  }
  if (!usage) throw new Error("The answer broke off.");
  byId("try-tokens").textContent = `${usage.prompt_tokens} in, ${usage.completion_tokens} out`;
  const took = (performance.now() - first) / 1000;
  if (first && took > 0.05) byId("try-speed").textContent = Math.round(usage.completion_tokens / took);
}

async function attempt() {
  const body = JSON.stringify({
    model: byId("try-model").value,
    messages: [{ role: "user", content: byId("try-prompt").value }],
    max_tokens: Number(byId("try-most").value) || 256,
    stream: true,
    stream_options: { include_usage: true },
  });
  state("A key is made for it …");
  const headers = { Authorization: `Bearer ${await key()}`, "Content-Type": "application/json" };
  const began = performance.now();
  state("Sent; it waits for its turn …");
  const reply = await fetch("/v1/chat/completions", { method: "POST", headers, body, signal: running.signal });
  showHeaders(reply);
  if (!reply.ok) throw new Error((await reply.json()).error.message);
  await show(reply, began);
  state("Done.");
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  running = new AbortController();
  byId("try-answer").textContent = "";
  byId("try-send").disabled = true;
  byId("try-stop").disabled = false;
  try {
    await attempt();
  } catch (error) {
    if (error.name === "AbortError") state("Stopped: the request was cancelled.");
    else state(error.message, true);
  }
  byId("try-send").disabled = false;
  byId("try-stop").disabled = true;
});

byId("try-stop")?.addEventListener("click", () => running?.abort());
