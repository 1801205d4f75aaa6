// The output of an execution: lines come as pieces of text with names of styles, and are only ever set as text.
// A block of lines is two text nodes, its numbers and its words: a hundred thousand lines stay a few thousand nodes.
import {refresh, tell} from "./page.js";
const section = document.querySelector("[data-log]"), box = section.querySelector("[data-lines]");
const BLOCK = 100, MOST = 200000, SLICE = 8;
const counts = {stdout: 0, stderr: 0}, follow = section.querySelector("[data-follow]"), fresh = section.querySelector("[data-new]");
const pause = () => new Promise((go) => setTimeout(go));
let blocks = [], waiting = [], taken = 0, shown = 0, dropped = 0, drawing = false, unseen = 0, height = 0;

function begin(stream) {
  const made = document.createElement("div"), nums = document.createElement("pre"), text = document.createElement("pre");
  made.className = `block is-${stream}` + (stream === "stderr" ? " err" : "");
  nums.className = "nums";
  nums.setAttribute("aria-hidden", "true");
  nums.append("");
  text.className = "text";
  made.append(nums, text);
  box.append(made);
  blocks.push({made, nums, text, stream, first: counts[stream] + 1, size: 0});
  return blocks.at(-1);
}

function words(text, plain) {
  if (!plain) return;
  if (text.lastChild?.nodeType === Node.TEXT_NODE) text.lastChild.appendData(plain);
  else text.append(plain);
}

// Put lines of one stream into one block, as many as there is room and time for.
function fill(block, end) {
  let plain = "", numbers = "";
  do {
    for (const [piece, style] of waiting[taken][1]) {
      if (!style) { plain += piece; continue; }
      words(block.text, plain);
      plain = "";
      const span = document.createElement("span");
      span.className = style;
      span.textContent = piece;
      block.text.append(span);
    }
    plain += "\n";
    numbers += `${block.stream === "stderr" ? "E" : ""}${++counts[block.stream]}\n`;
    block.size++; shown++; taken++;
  } while (taken < waiting.length && waiting[taken][0] === block.stream && block.size < BLOCK && performance.now() < end);
  words(block.text, plain);
  block.nums.firstChild.appendData(numbers);
  height ||= parseFloat(getComputedStyle(block.nums).lineHeight);
  block.made.style.containIntrinsicSize = `auto ${Math.round(block.size * height)}px`;
}

const near = () => box.scrollHeight - box.scrollTop - box.clientHeight < 40;
function draw() {
  const end = performance.now() + SLICE, before = shown, bottom = near();
  while (taken < waiting.length && performance.now() < end) {
    const stream = waiting[taken][0], block = blocks.at(-1);
    fill(block && block.stream === stream && block.size < BLOCK ? block : begin(stream), end);
  }
  if (shown - dropped > MOST) drop(bottom);
  for (const name of Object.keys(counts)) section.querySelector(`[data-count=${name}]`).textContent = counts[name].toLocaleString();
  if (bottom && follow.checked) box.scrollTop = box.scrollHeight;
  else if (shown > before) { unseen += shown - before; fresh.textContent = `${unseen.toLocaleString()} new lines ↓`; fresh.hidden = false; }
  if (taken < waiting.length) { requestAnimationFrame(draw); return; }
  waiting = []; taken = 0; drawing = false;
  if (location.hash) aim(false);
  if (ended) settle();
}

function drop(bottom) {
  let gone = box.querySelector(".gone");
  if (!gone) {
    gone = document.createElement("p");
    gone.className = "gone muted";
    box.prepend(gone);
  }
  let above = 0;
  while (shown - dropped > MOST && blocks.length > 1) {
    const first = blocks.shift();
    above += first.made.offsetHeight;
    dropped += first.size;
    first.made.remove();
  }
  gone.textContent = `${dropped.toLocaleString()} lines before these are not kept here: they are in the download`;
  if (!bottom) box.scrollTop -= above;
}

function clear() {
  box.style.minHeight = `${box.offsetHeight}px`;  // what is below stays where it is
  box.replaceChildren();
  blocks = []; waiting = []; taken = shown = dropped = unseen = 0;
  counts.stdout = counts.stderr = 0;
}

// --- The stream. A browser opens six connections to one server: a few of its windows have a stream, the others ask.
const STREAMS = 3, ASK = 2000, HIDDEN = 10000;
let source = null, release = null, ended = "", cleared = false, offset = "", last = Date.now(), wait = 1000, timer = 0;

async function reserve() {
  if (document.hidden) return false;
  if (release || !navigator.locks) return true;
  for (let n = 0; n < STREAMS && !release; n++) {
    await new Promise((go) => navigator.locks.request(`attune-stream-${n}`, {ifAvailable: true}, (lock) => {
      go();
      return lock && new Promise((free) => { release = free; });
    }));
  }
  return Boolean(release);
}

function leave() {
  clearTimeout(timer);
  source?.close();
  source = null;
  release?.();
  release = null;
}

let connecting = false;
async function connect() {
  if (ended || source || connecting) return;
  connecting = true;
  let live = await reserve();
  connecting = false;
  if (live && document.hidden) {  // hidden meanwhile: another window may have the stream
    leave();
    live = false;
  }
  const mine = source = new EventSource(`${section.dataset.log}?from=${offset}${live ? "" : "&once=1"}`);
  const on = (name, act) => mine.addEventListener(name, (event) => { if (mine === source) act(event); });
  on("open", () => {
    tell("live", true);
    wait = 1000;
    box.classList.remove("stale");
    if (!cleared) { cleared = true; clear(); section.classList.add("is-live"); }
  });
  on("lines", (event) => {
    last = Date.now();
    offset = event.lastEventId || offset;
    const [stream, lines] = JSON.parse(event.data);
    for (const line of lines) waiting.push([stream, line]);
    if (!drawing) { drawing = true; requestAnimationFrame(draw); }
  });
  on("state", (event) => {
    last = Date.now();
    const state = JSON.parse(event.data);
    refresh().catch(() => {});
    if (!state.ended) { if (!live) later(document.hidden ? HIDDEN : ASK); return; }
    ended = state.status;
    leave();
    if (!drawing) settle();
  });
  on("again", () => { last = Date.now(); later(live ? 0 : document.hidden ? HIDDEN : ASK); });
  on("reset", () => { offset = ""; cleared = false; later(0); });
  on("error", () => {
    tell(`reconnecting; as of ${new Date(last).toLocaleTimeString()}`);
    box.classList.add("stale");
    later(wait * (0.75 + Math.random() / 2));
    wait = Math.min(30000, wait * 2);
  });
}

function later(pause) {
  source?.close();
  source = null;
  clearTimeout(timer);
  timer = setTimeout(connect, pause);
}

// All of it is here.
function settle() {
  box.style.minHeight = "";
  tell(`complete: ${ended}`);
  if (shown) return;
  const none = document.createElement("p");
  none.className = "muted";
  none.textContent = "It wrote nothing.";
  box.replaceChildren(none);
}

connect();
addEventListener("pagehide", leave);
document.addEventListener("visibilitychange", () => { if (!ended) { leave(); timer = setTimeout(connect, document.hidden ? ASK : 0); } });

// --- What a reader does with it
const top = () => { unseen = 0; fresh.hidden = true; };
box.addEventListener("scroll", () => { if (!fresh.hidden && near()) top(); });
fresh.addEventListener("click", () => { box.scrollTop = box.scrollHeight; top(); });
section.querySelector("[data-wrap]").addEventListener("change", (event) => box.classList.toggle("wrap", event.target.checked));
for (const button of section.querySelectorAll("[data-stream]")) {
  button.addEventListener("click", () => {
    box.classList.remove("only-stdout", "only-stderr");
    if (button.dataset.stream !== "both") box.classList.add(`only-${button.dataset.stream}`);
    for (const one of section.querySelectorAll("[data-stream]")) one.setAttribute("aria-pressed", String(one === button));
    if (field.value) search();
  });
}

// A link to the line under the pointer: one for all of them. With shift it goes on from the line that is marked.
const link = document.createElement("a");
link.className = "line";
link.tabIndex = -1;
const letter = (stream) => stream === "stderr" ? "E" : "L";
box.addEventListener("pointermove", (event) => {
  const nums = event.target.closest?.(".nums"), block = nums && blocks.find((one) => one.nums === nums);
  if (!block) return;
  const row = Math.min(block.size - 1, Math.max(0, Math.floor((event.clientY - nums.getBoundingClientRect().top) / height)));
  link.href = `#${letter(block.stream)}${block.first + row}`;
  link.style.top = `${row * height}px`;
  link.style.height = `${height}px`;
  link.style.width = `${nums.offsetWidth}px`;
  link.title = `link to line ${block.first + row}`;
  link.setAttribute("aria-label", link.title);
  block.made.append(link);
});
link.addEventListener("click", (event) => {
  const from = location.hash.match(/^#([LE]\d+)/);
  if (!event.shiftKey || !from || from[1][0] !== link.hash[1]) return;
  event.preventDefault();
  location.hash = `${from[1]}-${link.hash.slice(1)}`;
});

let aimed = "";
function aim(loud = true) {
  const found = location.hash.match(/^#([LE])(\d+)(?:-[LE]?(\d+))?$/);
  if (!found || !loud && aimed === location.hash) return;
  let [from, to] = [Number(found[2]), Number(found[3] || found[2])];
  if (from > to) [from, to] = [to, from];
  const chosen = blocks.filter((one) => letter(one.stream) === found[1] && one.first <= to && from < one.first + one.size);
  if (!chosen.length || to >= chosen.at(-1).first + chosen.at(-1).size && !ended) return;
  aimed = location.hash;
  for (const mark of box.querySelectorAll("mark")) {
    const parent = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    parent.normalize();
  }
  const marks = chosen.map((block) => {
    const range = lines(block, Math.max(0, from - block.first), Math.min(block.size, to - block.first + 1)), mark = document.createElement("mark");
    mark.append(range.extractContents());
    range.insertNode(mark);
    return mark;
  });
  follow.checked = false;
  marks[0].scrollIntoView({block: "center"});
}
addEventListener("hashchange", () => aim());

// The range of some lines of a block.
function lines(block, from, to) {
  const whole = block.text.textContent;
  let start = 0;
  for (let n = 0; n < from; n++) start = whole.indexOf("\n", start) + 1;
  let end = start;
  for (let n = from; n < to; n++) end = whole.indexOf("\n", end) + 1;
  return part(block.text, start, end);
}

// The range of some characters of an element.
function part(element, start, end) {
  const range = document.createRange(), walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let passed = 0, set = false;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const next = passed + node.length;
    if (!set && start < next) { range.setStart(node, start - passed); set = true; }
    if (set && end <= next) { range.setEnd(node, end - passed); break; }
    passed = next;
  }
  return range;
}

// Every hit of the search is counted, in pieces that leave the page answering; the one that is looked at is selected,
// so that nothing of the text is changed.
let hits = [], total = 0, hit = -1, run = 0;
const field = section.querySelector("[data-find]"), report = section.querySelector("[data-hits]");
const wanted = () => new RegExp(field.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
async function search() {
  const pattern = wanted(), mine = ++run, found = [];
  hits = []; total = 0; hit = -1;
  report.textContent = field.value ? "…" : "";
  if (!field.value) return;
  let all = 0, end = performance.now() + SLICE;
  for (const block of blocks) {
    if (box.classList.contains("only-stdout") && block.stream !== "stdout" || box.classList.contains("only-stderr") && block.stream !== "stderr") continue;
    const count = block.text.textContent.match(pattern)?.length;
    if (count) { found.push([block, count]); all += count; }
    if (performance.now() < end) continue;
    await pause();
    if (mine !== run) return;
    end = performance.now() + SLICE;
  }
  hits = found; total = all;
  if (total) go(1);
  else report.textContent = "not found";
}

function go(step) {
  if (!total) return;
  hit = (hit + step + total) % total;
  let rest = hit, n = 0;
  while (rest >= hits[n][1]) rest -= hits[n++][1];
  const [block] = hits[n], found = [...block.text.textContent.matchAll(wanted())][rest], chosen = getSelection();
  if (!found) return;
  const range = part(block.text, found.index, found.index + found[0].length);
  follow.checked = false;
  chosen.removeAllRanges();
  chosen.addRange(range);
  block.made.scrollIntoView({block: "nearest"});  // drawn from here on: before, nothing in it has a place
  const where = range.getBoundingClientRect(), frame = box.getBoundingClientRect();
  box.scrollTop += where.top - frame.top - frame.height / 2;
  report.textContent = `${(hit + 1).toLocaleString()} of ${total.toLocaleString()}`;
}
let typed = 0;
field.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(search, 200); });
field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); total ? go(event.shiftKey ? -1 : 1) : search(); } });
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]),select,textarea") || document.getElementById("keys-off").checked) return;
  if (event.key === "n") go(1);
  else if (event.key === "N") go(-1);
  else if (event.key === "f") { follow.checked = !follow.checked; if (follow.checked) box.scrollTop = box.scrollHeight; }
  else if (event.key === "w") section.querySelector("[data-wrap]").click();
  else if (event.key === "e") { const error = blocks.find((one) => one.stream === "stderr"); if (error) location.hash = `#E${error.first}`; }
});
