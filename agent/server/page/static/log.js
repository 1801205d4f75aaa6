// The output of an execution: lines come as pieces of text with names of styles, and are only ever set as text.
import {refresh, tell} from "./page.js";
const section = document.querySelector("[data-log]"), box = section.querySelector("[data-lines]");
const BLOCK = 100, MOST = 200000, HEIGHT = 1.5 * 0.86 * 15;
const counts = {stdout: 0, stderr: 0}, follow = section.querySelector("[data-follow]"), fresh = section.querySelector("[data-new]");
let waiting = [], shown = 0, dropped = 0, block = null, started = false, unseen = 0;

function line(pieces, text) {
  for (const [words, style] of pieces) {
    if (!style) { text.append(words); continue; }
    const span = document.createElement("span");
    span.className = style;
    span.textContent = words;
    text.append(span);
  }
  text.append("\n");
}

function begin(stream) {
  const made = document.createElement("div"), nums = document.createElement("pre"), text = document.createElement("pre");
  made.className = `block is-${stream}` + (stream === "stderr" ? " err" : "");
  nums.className = "nums";
  nums.setAttribute("aria-hidden", "true");
  text.className = "text";
  made.append(nums, text);
  box.append(made);
  block = {made, nums, text, stream, size: 0};
}

function draw() {
  const end = performance.now() + 12, bottom = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  let drawn = 0;
  while (waiting.length && performance.now() < end) {
    const [stream, pieces] = waiting.shift();
    if (!block || block.stream !== stream || block.size >= BLOCK) { close(); begin(stream); }
    counts[stream] += 1;
    shown += 1; drawn += 1;
    block.size += 1;
    const number = document.createElement("a"), name = `${stream === "stderr" ? "E" : "L"}${counts[stream]}`;
    number.href = `#${name}`;
    number.id = name;
    number.tabIndex = -1;
    number.textContent = counts[stream];
    block.nums.append(number, "\n");
    line(pieces, block.text);
  }
  while (shown - dropped > MOST && box.children.length > 2) {
    const first = box.firstElementChild;
    dropped += first.querySelectorAll(".nums a").length;
    first.remove();
  }
  for (const name of Object.keys(counts)) section.querySelector(`[data-count=${name}]`).textContent = counts[name].toLocaleString();
  if (bottom && follow.checked) box.scrollTop = box.scrollHeight;
  else if (drawn) { unseen += drawn; fresh.textContent = `${unseen} new lines ↓`; fresh.hidden = false; }
  if (waiting.length) requestAnimationFrame(draw);
  else { started = false; if (location.hash) target(false); }
}

function close() {
  if (block) block.made.style.containIntrinsicSize = `auto ${Math.round(block.size * HEIGHT)}px`;
}

function add(stream, lines) {
  for (const pieces of lines) waiting.push([stream, pieces]);
  if (!started) { started = true; requestAnimationFrame(draw); }
}

// --- The stream
let source = null, ended = false, cleared = false, offset = "", last = Date.now(), wait = 1000;
function connect() {
  source = new EventSource(section.dataset.log + (offset ? `?from=${offset}` : ""));
  source.addEventListener("open", () => {
    tell("live", true);
    wait = 1000;
    box.classList.remove("stale");
    if (!cleared) { cleared = true; box.replaceChildren(); section.querySelector(".log-bar").hidden = false; }
  });
  source.addEventListener("lines", (event) => {
    last = Date.now();
    offset = event.lastEventId || offset;
    add(...JSON.parse(event.data));
  });
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    refresh().catch(() => {});
    if (state.ended) {
      ended = true;
      source.close();
      tell(`complete: ${state.status}`);
      if (!counts.stdout && !counts.stderr && !waiting.length) {
        const none = document.createElement("p");
        none.className = "muted";
        none.textContent = "It wrote nothing.";
        box.replaceChildren(none);
      }
    }
  });
  source.addEventListener("error", () => {
    source.close();
    if (ended) return;
    tell(`reconnecting; as of ${new Date(last).toLocaleTimeString()}`);
    box.classList.add("stale");
    setTimeout(connect, wait * (0.75 + Math.random() / 2));
    wait = Math.min(30000, wait * 2);
  });
}
connect();
addEventListener("pagehide", () => source?.close());

// --- What a reader does with it
const top = () => { unseen = 0; fresh.hidden = true; };
box.addEventListener("scroll", () => { if (box.scrollHeight - box.scrollTop - box.clientHeight < 40) top(); });
fresh.addEventListener("click", () => { box.scrollTop = box.scrollHeight; top(); });
section.querySelector("[data-wrap]").addEventListener("change", (event) => box.classList.toggle("wrap", event.target.checked));
for (const button of section.querySelectorAll("[data-stream]")) {
  button.addEventListener("click", () => {
    box.classList.remove("only-stdout", "only-stderr");
    if (button.dataset.stream !== "both") box.classList.add(`only-${button.dataset.stream}`);
    for (const one of section.querySelectorAll("[data-stream]")) one.setAttribute("aria-pressed", String(one === button));
  });
}

function target(loud = true) {
  const [first] = location.hash.slice(1).split("-"), found = /^[LE]\d+$/.test(first) && document.getElementById(first);
  if (!found || found.classList.contains("target") && !loud) return;
  for (const one of box.querySelectorAll(".target")) one.classList.remove("target");
  found.classList.add("target");
  follow.checked = false;
  found.scrollIntoView({block: "center"});
}
addEventListener("hashchange", () => target());

// Every hit of the search is counted; the one that is looked at is selected, so that nothing of the text is changed.
let hits = [], hit = -1;
const field = section.querySelector("[data-find]"), report = section.querySelector("[data-hits]");
function search() {
  const words = field.value.toLowerCase();
  hits = [];
  hit = -1;
  if (words) for (const text of box.querySelectorAll(".text")) {
    const whole = text.textContent.toLowerCase();
    for (let at = whole.indexOf(words); at >= 0; at = whole.indexOf(words, at + words.length)) hits.push([text, at, words.length]);
  }
  report.textContent = words ? `${hits.length} found` : "";
  if (hits.length) go(1);
}

function go(step) {
  if (!hits.length) return;
  hit = (hit + step + hits.length) % hits.length;
  const [text, at, size] = hits[hit], range = document.createRange(), walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  let passed = 0, set = false;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const end = passed + node.length;
    if (!set && at < end) { range.setStart(node, at - passed); set = true; }
    if (set && at + size <= end) { range.setEnd(node, at + size - passed); break; }
    passed = end;
  }
  follow.checked = false;
  const chosen = getSelection();
  chosen.removeAllRanges();
  chosen.addRange(range);
  const where = range.getBoundingClientRect(), frame = box.getBoundingClientRect();
  box.scrollTop += where.top - frame.top - frame.height / 2;
  report.textContent = `${hit + 1} of ${hits.length}`;
}
let later = 0;
field.addEventListener("input", () => { clearTimeout(later); later = setTimeout(search, 200); });
field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); hits.length ? go(event.shiftKey ? -1 : 1) : search(); } });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input,select,textarea") || document.getElementById("keys-off").checked) return;
  if (event.key === "n") go(1);
  else if (event.key === "N") go(-1);
  else if (event.key === "f") { follow.checked = !follow.checked; if (follow.checked) box.scrollTop = box.scrollHeight; }
  else if (event.key === "w") section.querySelector("[data-wrap]").click();
});
