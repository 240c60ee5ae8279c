// Keeps a page of zkexecctl web up to date: parts of it come as HTML, and replace those on the page.
// Without this script the page is complete, and loads itself again.
"use strict";

const RETRY_S = 3;
const HIDDEN_S = 20;
const main = document.getElementById("main");
const events = new URL(main.dataset.events, location.href);
const live = { source: null, retry: 0, hide: 0 };
let announced = announcements();

// ---- Times: the server writes when something was, the page writes how long ago that is.

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function age(seconds) {
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "now";
}

function showAges(within = document) {
  const now = Date.now();
  for (const one of within.querySelectorAll("time.age")) {
    const text = age(Math.floor((now - Date.parse(one.dateTime)) / 1000));
    if (one.textContent !== text) one.textContent = text;
  }
}

// ---- Parts of the page

function announcements() {
  const found = [...document.querySelectorAll("[data-announce]")];
  return new Map(found.map((one) => [one.dataset.key, one.dataset.announce]));
}

function announce(text) {
  document.getElementById("announcements").textContent = text;
}

function focusedIn(part) {
  const active = document.activeElement;
  if (!part.contains(active)) return null;
  const alike = [...part.querySelectorAll(active.tagName)];
  return { tag: active.tagName, id: active.id, text: active.textContent, place: alike.indexOf(active) };
}

function focusAgain(part, focused) {
  if (!focused) return;
  const alike = [...part.querySelectorAll(focused.tag)];
  const again = alike.find((one) => focused.id && one.id === focused.id)
    || alike.find((one) => one.textContent === focused.text)
    || alike[focused.place];
  if (again) again.focus({ preventScroll: true });
}

function replacePart(id, html) {
  const part = document.getElementById(id);
  if (!part) return;
  const opened = new Map([...part.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const focused = focusedIn(part);
  part.outerHTML = html;
  const fresh = document.getElementById(id);
  if (!fresh) return;
  for (const one of fresh.querySelectorAll("details[id]")) {
    if (opened.has(one.id)) one.open = opened.get(one.id);
  }
  prepare(fresh);
  focusAgain(fresh, focused);
}

function replaceParts(parts, version) {
  for (const [id, html] of Object.entries(parts)) replacePart(id, html);
  if ("marks" in parts) changeSquares();
  events.searchParams.set("shown", version);
  const titled = document.querySelector("[data-title]");
  if (titled) document.title = titled.dataset.title;
  const before = announced;
  announced = announcements();
  const changed = [...announced].filter(([key]) => !before.has(key)).map(([, text]) => text);
  if (changed.length) announce(changed.slice(0, 3).join(". "));
}

function prepare(part) {
  showAges(part);
  for (const one of part.querySelectorAll("[data-copy]")) one.hidden = !navigator.clipboard;
  for (const one of part.querySelectorAll(".squares[data-grid]")) prepareGrid(one);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// ---- The squares: one stop of the Tab key for each zone, arrows go from member to member

function prepareGrid(grid) {
  grid.setAttribute("role", "listbox");
  grid.tabIndex = 0;
  const words = markWords();
  for (const one of grid.children) {
    one.setAttribute("role", "option");
    label(one, words);
  }
  grid.addEventListener("keydown", (event) => moveIn(grid, event));
  grid.addEventListener("focus", () => point(grid, current(grid) || grid.firstElementChild));
  grid.addEventListener("blur", () => point(grid, null));
  grid.addEventListener("mouseover", (event) => showPointed(event.target.closest("li")));
  grid.addEventListener("mouseleave", () => showPointed(current(grid)));
  grid.addEventListener("click", (event) => findMember(event.target.closest("li")));
}

function current(grid) {
  return grid.querySelector(".here");
}

function point(grid, square) {
  const before = current(grid);
  if (before) {
    before.classList.remove("here");
    before.removeAttribute("id");
    before.removeAttribute("aria-selected");
  }
  grid.removeAttribute("aria-activedescendant");
  if (square) {
    square.classList.add("here");
    square.id = "here";
    square.setAttribute("aria-selected", "true");
    grid.setAttribute("aria-activedescendant", "here");
    square.scrollIntoView({ block: "nearest" });
  }
  showPointed(square);
}

function showPointed(square) {
  const line = document.getElementById("pointed");
  line.hidden = false;
  line.textContent = square ? square.getAttribute("aria-label") : "";
}

function markWords() {
  const marks = [...document.querySelectorAll("[data-mark]")];
  return new Map(marks.map((one) => [one.dataset.mark, one.dataset.word]));
}

// The state of a member is part of the name that a screen reader reads.
function label(square, words) {
  square.setAttribute("aria-label", `${square.textContent}: ${words.get(letterOf(square))}`);
}

function letterOf(square) {
  return square.classList[0];
}

function columnsOf(grid) {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

function moveIn(grid, event) {
  const square = current(grid) || grid.firstElementChild;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    findMember(square);
    return;
  }
  const squares = grid.children;
  const place = [...squares].indexOf(square);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columnsOf(grid), ArrowUp: -columnsOf(grid) };
  const targets = { Home: 0, End: squares.length - 1 };
  const target = event.key in steps ? place + steps[event.key] : targets[event.key];
  if (target === undefined) return;
  event.preventDefault();
  if (squares[target]) point(grid, squares[target]);
}

function findMember(square) {
  if (!square) return;
  const field = document.getElementById("find");
  if (!field) return;
  field.value = square.textContent;
  field.form.submit();
}

// The letters of all squares, alike ones counted: "120u3t44w".
function changeSquares() {
  const squares = document.querySelectorAll(".squares > li");
  const words = markWords();
  let place = 0;
  for (const [, count, letter] of document.getElementById("marks").dataset.letters.matchAll(/(\d+)([a-z])/g)) {
    for (const end = place + Number(count); place < end && place < squares.length; place += 1) {
      const before = letterOf(squares[place]);
      if (before === letter) continue;
      squares[place].classList.replace(before, letter);
      label(squares[place], words);
    }
  }
}

// ---- The connection

function connect() {
  if (live.source || document.hidden) return;
  const source = new EventSource(events);
  live.source = source;
  source.onopen = () => showLost(false);
  source.onerror = () => {
    disconnect();
    showLost(true);
    live.retry = setTimeout(checkServer, RETRY_S * 1000);
  };
  source.addEventListener("fragments", (event) => {
    replaceParts(JSON.parse(event.data), event.lastEventId);
  });
  source.addEventListener("login", () => location.reload());
}

function disconnect() {
  clearTimeout(live.retry);
  live.source?.close();
  live.source = null;
}

// A session that has expired is answered by the page to log in.
async function checkServer() {
  try {
    const answer = await fetch(location.href, { method: "HEAD" });
    if (answer.status === 401 || answer.redirected) location.reload();
  } catch {
    // The server is still away.
  }
  connect();
}

function showLost(isLost) {
  const banner = document.getElementById("lost");
  const badge = document.getElementById("live");
  badge.hidden = false;
  badge.classList.toggle("lost", isLost);
  document.getElementById("live-word").textContent = isLost ? "not connected" : "live";
  if (isLost && banner.hidden) {
    document.getElementById("lost-since").textContent = new Date().toLocaleTimeString([], { hour12: false });
  }
  banner.hidden = !isLost;
}

// A browser has few connections for one server, so a hidden page closes its own.
document.addEventListener("visibilitychange", () => {
  clearTimeout(live.hide);
  if (document.hidden) live.hide = setTimeout(disconnect, HIDDEN_S * 1000);
  else connect();
});
// A page that comes back from the cache of the browser has a connection that is closed.
addEventListener("pageshow", (event) => { if (event.persisted) { disconnect(); connect(); } });
addEventListener("pagehide", disconnect);

prepare(document);
setInterval(showAges, 1000);
connect();
