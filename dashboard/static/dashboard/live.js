// The live page: snapshots by WebSocket, by polling where that fails; nothing while the tab is hidden.
"use strict";

const live = document.getElementById("live");
const operates = "operates" in live.dataset;
const OLD_S = 10;
const NOT_ALLOWED = 4403;
let newest = null;
let receivedAt = 0;
let socket = null;
let pollTimer = 0;
let failures = 0;
let over = "";

const byId = (id) => document.getElementById(id);
const gib = (bytes) => (bytes === null ? "unknown" : `${(bytes / 2 ** 30).toFixed(1)} GiB`);

function lasting(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

// ---- the page follows the snapshot: elements are kept by key, so that focus and selection stay

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function keep(parent, items, keyOf, make, update) {
  const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child) known.delete(key);
    else {
      child = make(item);
      child.dataset.key = key;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
    update(child, item);
  });
  for (const child of known.values()) child.remove();
}

function cells(row, ...columns) {
  for (const [name, label] of columns) {
    const cell = element("td", name);
    if (label) cell.dataset.label = label;
    row.append(cell);
  }
  return row;
}

function withSmall(cell, text, small) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", "small"));
  say(cell.children[0], text);
  say(cell.children[1], small);
}

function button(text, className, kind, node, model, question, request = "") {
  const made = element("button", className, text);
  made.type = "button";
  made.setAttribute("aria-label", `${text} ${request || model || node}${model && node ? ` on ${node}` : ""}`);
  made.addEventListener("click", () => confirmed(question, text, { kind, node, model, request }));
  return made;
}

// ---- nodes

const TONES = { up: "good", down: "bad", quarantined: "bad", draining: "warn" };

const hues = new Map(); // a model keeps its colour for as long as the page is open

function hue(model) {
  if (!hues.has(model)) hues.set(model, `hue${hues.size % 6}`);
  return hues.get(model);
}

function makeNode(node) {
  const card = element("article", "node");
  const header = element("header");
  const title = element("h3", "", node.name);
  header.append(title, element("span", "badge"), element("span", "small"), element("span", "sizes"));
  if (operates) header.append(element("span", "turn"));
  header.append(element("p", "why"), element("p", "gpus small"));
  const bar = element("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const word of ["model", "VRAM", "slots busy", "last used", "since", ...(operates ? ["actions"] : [])]) {
    const cell = element("th", "", word);
    cell.scope = "col";
    head.append(cell);
  }
  table.append(element("tbody"));
  const scroll = element("div", "live-scroll");
  scroll.append(table);
  card.append(header, bar, scroll, element("p", "doing-now"));
  return card;
}

function updateNode(card, node) {
  const badge = card.querySelector(".badge");
  badge.className = `badge ${TONES[node.state] || ""}`;
  say(badge, node.state);
  say(card.querySelector("header .small"), seenText(node));
  say(card.querySelector(".sizes"), sizesText(node));
  say(card.querySelector(".why"), node.state === "up" ? "" : stateText(node));
  say(card.querySelector(".gpus"), node.gpus.map(gpuText).join("; "));
  if (operates) updateTurn(card.querySelector(".turn"), node);
  updateBar(card.querySelector(".bar"), node);
  card.querySelector("table").hidden = node.residents.length === 0;
  keep(card.querySelector("tbody"), node.residents, (each) => each.model, (each) => makeResident(node, each), updateResident);
  updateDoing(card.querySelector(".doing-now"), node);
}

function seenText(node) {
  const seen = node.seen_at === null ? "never answered" : `answered ${lasting(newest.at - node.seen_at)} ago`;
  return node.version ? `Ollama ${node.version}, ${seen}` : seen;
}

function stateText(node) {
  const since = node.since === null ? "" : `${node.state} for ${lasting(newest.at - node.since)}. `;
  const held = { quarantined: "Nothing new is loaded here until a probe load succeeds. ", draining: "It gets no new work. " };
  return `${since}${held[node.state] || ""}${node.reason}`;
}

function gpuText(gpu) {
  const facts = [`${gpu.name}: ${gib(gpu.free)} of ${gib(gpu.total)} free`];
  if (gpu.util !== null) facts.push(`${gpu.util} % busy`);
  if (gpu.power_w !== null) facts.push(`${Math.round(gpu.power_w)} W`);
  if (gpu.temperature !== null) facts.push(`${gpu.temperature} °C`);
  return facts.join(", ");
}

function sizesText(node) {
  const facts = [];
  if (node.total === null) facts.push(`${gib(node.used)} used of an unknown total`);
  else facts.push(`${gib(node.free)} free of ${gib(node.total)}`);
  if (node.reserved) facts.push(`${gib(node.reserved)} reserved`);
  if (node.spilled) {
    const share = Math.round((100 * node.spilled) / (node.spilled + node.used));
    facts.push(`${gib(node.spilled)} spilled into host memory (${share} %)`);
  }
  return facts.join(", ");
}

function updateTurn(place, node) {
  const wanted = node.draining ? "End drain" : "Drain";
  if (place.textContent === wanted) return;
  const question = node.draining
    ? `Let ${node.name} take work again?`
    : `Drain ${node.name}? It gets no new work; what runs there may end.`;
  place.replaceChildren(button(wanted, "live-quiet", node.draining ? "undrain" : "drain", node.name, "", question));
}

function updateBar(bar, node) {
  const doing = node.doing && node.doing.kind === "load" && node.doing.bytes ? [node.doing] : [];
  const whole = Math.max(node.total || 0, node.used + node.reserved, 1);
  const parts = [
    ...node.residents.map((each) => ({ key: each.model, text: each.model, bytes: each.bytes, look: hue(each.model) })),
    ...doing.map((each) => ({ key: " doing", text: `loading ${each.model}`, bytes: each.bytes, look: "doing" })),
    { key: " free", text: node.free === null ? "" : `${gib(node.free)} free`, bytes: null, look: "free" },
  ];
  keep(bar, parts, (part) => part.key, () => element("span"), (span, part) => {
    span.className = part.look;
    span.title = part.bytes === null ? part.text : `${part.text}: ${gib(part.bytes)}`;
    say(span, part.text);
    if (part.bytes !== null) span.style.width = `${(100 * part.bytes) / whole}%`;
  });
}

function makeResident(node, each) {
  const row = cells(
    element("tr"), ["name"], ["size"], ["busy", "slots busy"], ["used", "last used"], ["since", "since"],
  );
  row.children[0].append(element("span", `swatch ${hue(each.model)}`), element("span"), element("span"), element("span", "small"));
  if (operates) row.append(element("td", "act"));
  row.dataset.node = node.name;
  return row;
}

function updateResident(row, each) {
  const [name, size, busy, used, since, act] = row.children;
  say(name.children[1], each.model);
  const marks = [each.pinned ? "pinned" : "", each.accepting ? "" : "runs empty"].filter(Boolean).join(", ");
  name.children[2].className = marks ? "badge" : "";
  say(name.children[2], marks);
  say(name.children[3], `${each.num_ctx.toLocaleString("en")} tokens × ${each.slots} slots, KV ${each.kv_type}`);
  withSmall(size, gib(each.bytes), sizeNote(each));
  say(busy, `${each.in_flight} of ${each.slots}`);
  say(used, each.in_flight ? "now" : each.last_used ? `${lasting(newest.at - each.last_used)} ago` : "–");
  const loaded = each.load_s === null ? "" : `, loaded in ${each.load_s.toFixed(1)} s`;
  withSmall(since, lasting(newest.at - each.loaded_at), `${each.cause}${loaded}`);
  if (act) updateActs(act, row.dataset.node, each);
}

function sizeNote(each) {
  const notes = [];
  if (each.spilled_bytes) notes.push(`${gib(each.spilled_bytes)} more in host memory`);
  if (each.predicted_bytes) {
    const off = Math.round((100 * (each.bytes + each.spilled_bytes - each.predicted_bytes)) / each.predicted_bytes);
    const error = off === 0 ? "as measured" : `${Math.abs(off)} % ${off > 0 ? "too little" : "too much"}`;
    notes.push(`${gib(each.predicted_bytes)} predicted, ${error}`);
  }
  return notes.join("; ");
}

function updateActs(act, node, each) {
  const state = each.pinned ? "pinned" : "free";
  if (act.dataset.state === state) return;
  act.dataset.state = state;
  const evict = button("Evict", "live-danger", "evict", node, each.model,
    `Evict ${each.model} from ${node}? It runs empty first; its next request has to wait for a load.`);
  const pin = each.pinned
    ? button("Unpin", "live-quiet", "unpin", "", each.model, `Take away the pin of ${each.model} that an operator made?`)
    : button("Pin", "live-quiet", "pin", node, each.model, `Pin ${each.model} on ${node}? It stays in VRAM until it is unpinned.`);
  act.replaceChildren(...(each.pinned ? [pin] : [pin, evict]));
}

function updateDoing(place, node) {
  const doing = node.doing;
  place.hidden = !doing;
  if (!doing) return;
  if (place.children.length === 0) place.append(element("span"), element("progress"), element("span"));
  const [what, bar, rest] = place.children;
  const words = { load: "Loading", evict: "Evicting", drain: "Draining" };
  say(what, `${words[doing.kind]} ${doing.model} `);
  bar.hidden = doing.until === null;
  bar.setAttribute("aria-label", `${words[doing.kind]} ${doing.model}`);
  if (doing.until === null) {
    say(rest, ` for ${lasting(newest.at - doing.since)}`);
    return;
  }
  bar.max = Math.max(doing.until - doing.since, 0.1);
  bar.value = Math.min(newest.at - doing.since, bar.max);
  const left = doing.until - newest.at;
  say(rest, left > 0 ? ` about ${lasting(left)} left` : ` ${lasting(-left)} longer than expected`);
}

// ---- lines and decisions

function updateLine(row, line) {
  const [model, waiting, keys, first, still, context, why] = row.children;
  say(model, line.model);
  say(waiting, String(line.waiting));
  say(keys, String(line.keys));
  say(first, lasting(newest.at - line.since));
  say(still, stillText(line));
  say(context, line.num_ctx ? `${line.num_ctx.toLocaleString("en")} tokens` : "–");
  const left = line.until === null ? 0 : line.until - newest.at;
  say(why, left > 0 ? `${line.why} About ${lasting(left)} left.` : line.why);
}

function stillText(line) {
  const { wait_first_s: first, wait_last_s: last } = line;
  if (first === null && last === null) return "not known";
  if (line.waiting === 1) return `about ${lasting(first)}`;
  const unknown = (seconds) => (seconds === null ? "not known" : `about ${lasting(seconds)}`);
  return `first ${unknown(first)}, last ${unknown(last)}`;
}

// ---- requests in flight

function makeRequest(request) {
  const row = cells(element("tr"), ["name"], ["", "key"], ["name", "model"], ["short"], ["short", "for"]);
  row.children[0].append(element("code", "", request.id));
  if (operates) {
    const question = `Cancel ${request.id} of ${request.key}? Its client is told that an operator did.`;
    const act = element("td", "act");
    act.append(button("Cancel", "live-danger", "cancel", "", "", question, request.id));
    row.append(act);
  }
  return row;
}

function updateRequest(row, request) {
  const [, key, model, where, since] = row.children;
  say(key, request.key);
  say(model, request.model);
  const wait = request.wait_s === null ? "" : `about ${lasting(request.wait_s)} to wait`;
  if (request.node !== null) withSmall(where, `runs on ${request.node}`, "");
  else withSmall(where, `place ${request.position} in line`, wait);
  say(since, lasting(newest.at - request.since));
}

function updateDecision(row, entry) {
  const [when, what, model, node, took, outcome, reason] = row.children;
  say(when, `${lasting(newest.at - entry.at)} ago`);
  withSmall(what, entry.kind, entry.cause);
  say(model, entry.model || "–");
  say(node, entry.node || "–");
  say(took, entry.seconds === null ? "–" : `${entry.seconds.toFixed(2)} s`);
  say(outcome, entry.outcome || "open");
  say(reason, entry.reason);
}

function show() {
  const nodes = newest.nodes;
  say(byId("live-running"), String(newest.running));
  say(byId("live-waiting"), String(newest.waiting));
  say(byId("live-residents"), String(nodes.reduce((sum, node) => sum + node.residents.length, 0)));
  const known = nodes.filter((node) => node.free !== null);
  say(byId("live-free"), known.length ? gib(known.reduce((sum, node) => sum + node.free, 0)) : "unknown");
  keep(byId("live-nodes"), nodes, (node) => node.name, makeNode, updateNode);
  byId("live-no-nodes").hidden = nodes.length > 0;
  keep(byId("live-lines"), newest.lines, (line) => line.model,
    () => cells(element("tr"), ["name"], ["", "waiting"], ["", "keys"], ["short", "first waits for"],
      ["", "still to wait"], ["short", "context"], ["reason"]), updateLine);
  byId("live-lines-table").hidden = newest.lines.length === 0;
  byId("live-no-lines").hidden = newest.lines.length > 0;
  keep(byId("live-requests"), newest.requests, (request) => request.id, makeRequest, updateRequest);
  byId("live-requests-table").hidden = newest.requests.length === 0;
  byId("live-no-requests").hidden = newest.requests.length > 0;
  keep(byId("live-decisions"), newest.decisions, (entry) => entry.id,
    () => cells(element("tr"), ["short"], ["short"], ["name"], [""], ["short"], [""], ["reason"]), updateDecision);
  if (operates) {
    const where = byId("live-where");
    const kept = where.options[0];
    keep(where, [{ name: "" }, ...nodes], (node) => node.name, (node) => (node.name ? new Option(node.name) : kept), () => {});
  }
}

// ---- age

function showAge() {
  const age = (performance.now() - receivedAt) / 1000;
  const old = newest === null || age > OLD_S;
  const place = byId("live-age");
  document.body.classList.toggle("old", newest !== null && old);
  place.classList.toggle("stale", newest !== null && old);
  const complaint = newest && newest.complaint ? ` ${newest.complaint}` : "";
  if (over) say(place, over);
  else if (newest === null) say(place, "Connecting …");
  else say(place, `${age < 2 ? "Up to date." : `Updated ${lasting(age)} ago.`}${complaint}`);
}

// ---- where snapshots come from

function take(text) {
  newest = JSON.parse(text);
  receivedAt = performance.now();
  show();
  showAge();
}

function connect() {
  if (socket || document.hidden || over) return;
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live`);
  socket = opened;
  opened.addEventListener("message", (event) => {
    failures = 0;
    stopPolling();
    take(event.data);
  });
  opened.addEventListener("close", (event) => {
    if (socket === opened) socket = null;
    if (event.code === NOT_ALLOWED) {
      over = "You are signed out, or may no longer see this. Load the page again.";
      stopPolling();
      showAge();
    } else if (!document.hidden) {
      failures += 1;
      poll();
      setTimeout(connect, Math.min(1000 * 2 ** failures, 30000));
    }
  });
}

async function poll() {
  if (pollTimer || document.hidden || over) return;
  pollTimer = setTimeout(() => { pollTimer = 0; if (!socket || socket.readyState !== WebSocket.OPEN) poll(); }, 2000);
  try {
    const reply = await fetch(live.dataset.figures, { headers: { Accept: "application/json" } });
    if (reply.ok && !reply.redirected) take(await reply.text());
  } catch {
    showAge(); // the server is away: the age says so, and the next try follows
  }
}

function stopPolling() {
  clearTimeout(pollTimer);
  pollTimer = 0;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stopPolling();
    if (socket) socket.close();
    socket = null;
  } else connect();
});

// ---- asking the scheduler

function confirmed(question, word, wanted) {
  const dialog = byId("live-confirm");
  say(byId("live-question"), question);
  say(byId("live-yes"), word);
  dialog.onclose = () => { if (dialog.returnValue === "yes") ask(wanted); };
  dialog.returnValue = "no";
  dialog.showModal();
}

async function ask(wanted) {
  const told = byId("live-told");
  told.hidden = false;
  told.className = "";
  try {
    const token = document.querySelector("#live-token [name=csrfmiddlewaretoken]").value;
    const reply = await fetch(live.dataset.ask, {
      method: "POST", headers: { "X-CSRFToken": token }, body: new URLSearchParams(wanted),
    });
    const said = await reply.json();
    told.className = reply.ok ? "" : "bad";
    say(told, said.told || said.error);
  } catch {
    told.className = "bad";
    say(told, "The bridge did not answer; nothing is known to be asked.");
  }
}

if (operates) {
  byId("live-load").addEventListener("submit", (event) => {
    event.preventDefault();
    const model = byId("live-model").value;
    const node = byId("live-where").value;
    if (!model) return;
    confirmed(`Load ${model} on ${node || "the node that suits best"}? Idle residents may have to go for it.`,
      "Load", { kind: "load", node, model });
  });
}

setInterval(showAge, 1000);
connect();
