// What every page has: times in the reader's zone, keys, and lists that are read again while somebody looks.
const say = document.getElementById("live");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const full = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});

function length(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function times(root) {
  for (const one of root.querySelectorAll("time[datetime]")) {
    const at = new Date(one.dateTime), passed = Math.max(0, (Date.now() - at) / 1000);
    one.title = `${full.format(at)} (${zone})`;
    one.textContent = "since" in one.dataset && passed < 604800 ? `${length(passed)} ago` : full.format(at);
  }
  for (const one of root.querySelectorAll("[data-running]")) {
    one.textContent = `for ${length(Math.max(0, (Date.now() - new Date(one.dataset.running)) / 1000))}`;
  }
}
times(document);
setInterval(() => document.hidden || times(document), 1000);

// --- Parts of a page that are read again
let seen = Date.now(), failures = 0;
const parts = () => [...document.querySelectorAll("[data-live]")];
export function tell(text, on = false) {
  if (say.textContent !== text) say.textContent = text;
  say.classList.toggle("on", on);
}

export async function refresh() {
  const answer = await fetch(location.href, {headers: {"X-Live": "1"}, redirect: "manual"});
  if (answer.type === "opaqueredirect" || answer.status === 401) {
    tell("signed out: reload to sign in");
    return false;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts()) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next) continue;
    times(next);
    if (next.innerHTML === part.innerHTML || part.contains(document.activeElement) && document.activeElement.matches("input,select,textarea")) continue;
    const focus = document.activeElement?.getAttribute?.("href");
    if (!inPlace(part, next)) part.replaceChildren(...document.importNode(next, true).childNodes);
    if (focus && document.activeElement === document.body) [...part.querySelectorAll("a")].find((one) => one.getAttribute("href") === focus)?.focus({preventScroll: true});
  }
  if (fresh.title) document.title = fresh.title;
  return true;
}

// A list changes row by row: what is new waits behind a button, so that nothing moves under the reader's hand.
const more = document.getElementById("more");
const key = (row) => row.querySelector("a")?.getAttribute("href") ?? row.firstElementChild?.textContent;
function inPlace(part, next) {
  const rows = [...part.querySelectorAll("tbody [data-row]")], fresh = new Map([...next.querySelectorAll("tbody [data-row]")].map((row) => [key(row), row]));
  if (!rows.length || !fresh.size) return false;
  let changed = part.querySelector("thead")?.textContent !== next.querySelector("thead")?.textContent;
  for (const row of rows) {
    const now = fresh.get(key(row));
    fresh.delete(key(row));
    row.classList.toggle("left", !now);
    if (!now) changed = true;
    if (!now || now.innerHTML === row.innerHTML) continue;
    row.style.height = `${row.offsetHeight}px`;
    row.replaceChildren(...document.importNode(now, true).childNodes);
  }
  more.hidden = !fresh.size && !changed;
  more.textContent = fresh.size ? `${fresh.size} new ↻` : "the list has changed ↻";
  return true;
}
more.addEventListener("click", () => location.reload());

async function again() {
  let pause = 3000;
  if (!document.hidden) {
    try {
      if (!await refresh()) return;
      if (failures) tell("live again", true); else tell("live", true);
      seen = Date.now(); failures = 0;
      for (const part of parts()) part.classList.remove("stale");
    } catch {
      pause = Math.min(30000, 1000 * 2 ** failures++) * (0.75 + Math.random() / 2);
      tell(`reconnecting; as of ${new Date(seen).toLocaleTimeString()}`);
      if (Date.now() - seen > 5000) for (const part of parts()) part.classList.add("stale");
    }
  }
  setTimeout(again, pause);
}
if (parts().length && !document.querySelector("[data-log]") && !new URLSearchParams(location.search).has("after")) setTimeout(again, 2000);

// --- Keys
const off = document.getElementById("keys-off"), help = document.getElementById("keys");
off.checked = localStorage.getItem("keys-off") === "1";
off.addEventListener("change", () => localStorage.setItem("keys-off", off.checked ? "1" : ""));
const places = Object.fromEntries(document.documentElement.dataset.keys.split(";").filter(Boolean).map((one) => [one[0], one.slice(2)]));
let before = "";
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.matches("input:not([type=checkbox],[type=radio]),select,textarea");
  if (event.key === "Escape") {
    if (help.open) return;
    if (typing) event.target.blur();
    else document.querySelector("[data-back]")?.click();
    return;
  }
  if (typing || help.open || off.checked && event.key !== "?") return;
  const key = event.key, first = before;
  before = key === "g" ? "g" : "";
  if (first === "g" && places[key]) location.href = places[key];
  else if (key === "/") document.querySelector("[data-search]")?.focus();
  else if (key === "?") help.showModal();
  else if (key === "j" || key === "k") move(key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
});

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[now < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, now + step))];
  rows[now]?.classList.remove("at");
  next.classList.add("at");
  next.querySelector("a")?.focus({preventScroll: true});
  next.scrollIntoView({block: "nearest"});
}

for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((one) => { one.disabled = true; })));
}
addEventListener("pageshow", (event) => event.persisted && location.reload());

for (const text of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  });
  text.after(button);
}
