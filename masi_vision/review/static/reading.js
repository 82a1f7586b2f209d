// The reading page: photo, grades, and drafts that survive a lost network, a reload and a server that was killed.
"use strict";

const state = JSON.parse(document.getElementById("state").textContent);
const t = state.words;
const form = document.getElementById("grades");
const saved = document.getElementById("saved");
const why = document.getElementById("ungradable");
const comment = document.getElementById("comment");
const scales = [...document.querySelectorAll(".scale")];
const pendingKey = `masi:${state.database}:${state.reader}:${state.code}:${state.read}`;
let turn = state.turn; // of what is on the screen: each change is a turn further
let known = state.reading; // what the server had when this page last heard of it
let changedAt = 0; // when something was changed here last
let sending = false;
let current = 0;

// --- the photo ---------------------------------------------------------------------------------------------

function shown(element, url) {
  const viewer = OpenSeadragon({
    element,
    drawer: "canvas", // without a GPU the default drawer shows six pictures a second
    prefixUrl: "",
    showNavigationControl: false,
    animationTime: 0.15,
    maxZoomPixelRatio: 4,
    visibilityRatio: 0.5,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    tileSources: { type: "image", url },
  });
  viewer.innerTracker.keyHandler = null; // keys grade
  viewer.innerTracker.keyDownHandler = null;
  return viewer;
}

const urlOf = (view) => `/units/${state.code}/photos/${view}`;
const viewer = state.views.length ? shown(document.getElementById("viewer"), urlOf(state.views[0])) : null;
let anyShown = !viewer;
if (viewer) {
  viewer.addHandler("open", () => {
    anyShown = true;
    document.body.dataset.shown = state.views[current];
    failed(false);
  });
  viewer.addHandler("open-failed", () => failed(true));
  viewer.addHandler("tile-load-failed", () => failed(true));
}

document.getElementById("retry").addEventListener("click", () => show(current));

// A photo that did not come is said where it should be, with a way to ask for it again.
function failed(did) {
  document.getElementById("photo-failed").hidden = !did;
}

function show(number) {
  if (!viewer) return;
  current = (number + state.views.length) % state.views.length;
  delete document.body.dataset.shown;
  viewer.open({ type: "image", url: urlOf(state.views[current]) });
  mark();
}

function mark() {
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.views[current]));
  }
}

for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(state.views.indexOf(button.dataset.view)));
}

const chart = document.getElementById("chart");
if (chart) {
  const place = document.getElementById("chart-viewer");
  let made = false;
  chart.addEventListener("click", () => {
    place.hidden = !place.hidden;
    chart.setAttribute("aria-pressed", String(!place.hidden));
    if (!made) shown(place, "/chart");
    made = true;
  });
}

// --- the grades --------------------------------------------------------------------------------------------

function inputs(scale) {
  return [...scale.querySelectorAll("input")];
}

function tell(mmasi) {
  document.getElementById("score").textContent = mmasi === null ? "–" : mmasi.toFixed(1);
}

function fill(reading) {
  for (const scale of scales) {
    const value = (reading.grades[scale.dataset.region] || {})[scale.dataset.scale];
    for (const input of inputs(scale)) input.checked = value !== undefined && Number(input.value) === value;
  }
  why.value = reading.ungradable;
  comment.value = reading.comment;
  ease();
}

function read() {
  const grades = {};
  for (const scale of scales) {
    const chosen = inputs(scale).find((input) => input.checked);
    if (!chosen) continue;
    (grades[scale.dataset.region] ||= {})[scale.dataset.scale] = Number(chosen.value);
  }
  return { grades, ungradable: why.value, comment: comment.value };
}

// A region without pigment has no darkness; a unit that cannot be graded has no grades.
function ease() {
  const reading = read();
  for (const scale of scales) {
    const none = (reading.grades[scale.dataset.region] || {}).area === 0 && scale.dataset.scale !== "area";
    const off = !state.open || Boolean(why.value) || none;
    for (const input of inputs(scale)) {
      input.disabled = off;
      if (none) input.checked = false;
    }
    scale.classList.toggle("off", off);
  }
}

function complete() {
  return Boolean(why.value) || scales.every((scale) => {
    return scale.classList.contains("off") || inputs(scale).some((input) => input.checked);
  });
}

const FIELDS = scales.map((scale) => [scale.dataset.region, scale.dataset.scale]);

function flat(reading) {
  const values = { ungradable: reading.ungradable, comment: reading.comment };
  for (const [region, scale] of FIELDS) values[`${region} ${scale}`] = (reading.grades[region] || {})[scale];
  return values;
}

// What is here laid over what the server has: each grade from where it was changed since the server's was known. Of one
// that was changed on both, that of here if it is of this moment, else the server's: it was given while we were away.
const AT_ONCE_MS = 5000;
function merged(theirs, before, ours, at) {
  const [known, there, here] = [flat(before), flat(theirs), flat(ours)];
  const oursIsLast = Date.now() - at < AT_ONCE_MS;
  const pick = (name) => {
    if (here[name] === known[name]) return there[name];
    return there[name] === known[name] || oursIsLast ? here[name] : there[name];
  };
  const made = { grades: {}, ungradable: pick("ungradable"), comment: pick("comment") };
  for (const [region, scale] of FIELDS) {
    const value = pick(`${region} ${scale}`);
    if (value !== undefined) (made.grades[region] ||= {})[scale] = value;
  }
  return made;
}

function same(one, other) {
  const [a, b] = [flat(one), flat(other)];
  return Object.keys(a).every((name) => a[name] === b[name]);
}

// What is on the screen, in the browser until the unit is locked: the answer to a page that is loaded anew may have
// been on its way before the last grades of the page before it arrived.
function kept() {
  return JSON.parse(localStorage.getItem(pendingKey) || "null");
}

function keep(sent) {
  localStorage.setItem(pendingKey, JSON.stringify({ turn, reading: read(), known, sent, at: changedAt }));
}

function changed() {
  elsewhere = false;
  changedAt = Date.now();
  ease();
  turn += 1;
  keep(false);
  send();
}

async function ask(path, method, body) {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRF-Token": state.csrf },
    body: JSON.stringify(body),
  });
  if (answer.status === 401) {
    location.href = "/sign-in"; // what is pending is kept, and sent when the page is opened again
    return new Promise(() => {});
  }
  return answer;
}

let wait = 500;
let elsewhere = false; // until the next change here: grades on the screen are of another page
async function send() {
  if (sending) return;
  const pending = kept();
  if (!pending || pending.sent) return;
  sending = true;
  saved.textContent = t.saving;
  try {
    const body = { ...pending.reading, turn: pending.turn, read: state.read };
    const answer = await ask(`/units/${state.code}/draft`, "PUT", body);
    const told = await answer.json();
    if (answer.status >= 500) throw new Error(told.error);
    if (!answer.ok) {
      // What cannot be taken is dropped; a page that is too old, or of another person, keeps it and is opened again, once.
      if ([409, 422].includes(answer.status)) localStorage.removeItem(pendingKey);
      saved.textContent = told.error || told.detail || answer.statusText;
      sending = false;
      if (answer.status === 403 && !sessionStorage.getItem(pendingKey)) {
        sessionStorage.setItem(pendingKey, "opened again");
        location.reload();
      }
      return;
    }
    sessionStorage.removeItem(pendingKey);
    wait = 500;
    sending = false;
    const newest = kept();
    if (newest && newest.turn > turn) return; // another page has graded since, and sends it itself
    if (told.kept) {
      known = pending.reading;
      tell(told.mmasi);
      keep(turn === pending.turn);
      saved.textContent = t.saved;
    } else {
      // Another page was ahead: what it saved is shown, and what was graded here alone is sent again.
      const ours = read();
      const both = merged(told.reading, known, ours, changedAt);
      known = told.reading;
      turn = Math.max(turn, told.turn) + 1;
      fill(both);
      keep(false);
      elsewhere = !same(both, ours);
    }
    if (elsewhere) saved.textContent = t.elsewhere;
    send();
  } catch (error) {
    saved.textContent = t.offline;
    sending = false;
    setTimeout(send, wait);
    wait = Math.min(2 * wait, 8000);
  }
}

// --- keys --------------------------------------------------------------------------------------------------

function usable() {
  return scales.filter((scale) => !scale.classList.contains("off"));
}

function focusScale(scale) {
  const of = inputs(scale);
  (of.find((input) => input.checked) || of[0]).focus();
}

function next(scale) {
  const following = scales.slice(scales.indexOf(scale) + 1).find((one) => !one.classList.contains("off"));
  if (following) focusScale(following);
  else document.getElementById("lock").focus();
}

// To the scale before or after: nothing is graded by moving.
function step(scale, by) {
  const all = usable();
  const at = all[all.indexOf(scale) + by];
  if (at) focusScale(at);
}

function press(event) {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || document.getElementById("sign").open) return;
  const typing = ["TEXTAREA", "SELECT"].includes(event.target.tagName) || event.target.type === "text";
  if (typing) return;
  const scale = event.target.closest ? event.target.closest(".scale") : null;
  const key = event.key.toLowerCase(); // Caps Lock and Shift make no other key of a letter
  if (scale && event.key.startsWith("Arrow")) {
    event.preventDefault(); // else a browser grades, and goes on from 6 to 0
    step(scale, ["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : -1);
  } else if (/^[0-9]$/.test(event.key) && scale && state.open) {
    const input = inputs(scale).find((one) => one.value === event.key && !one.disabled);
    if (!input) return;
    event.preventDefault();
    input.checked = true;
    changed();
    next(scale);
  } else if (key === "v") show(current + 1);
  else if (["u", "l"].includes(key) && state.open) {
    event.preventDefault(); // else the letter lands in the field that gets the focus
    if (key === "u") why.focus();
    else sign();
  }
  else if (viewer && event.key === "+") viewer.viewport.zoomBy(1.5);
  else if (viewer && ["-", "_"].includes(event.key)) viewer.viewport.zoomBy(1 / 1.5);
  else if (viewer && ["=", ")"].includes(event.key)) viewer.viewport.goHome();
}

// --- lock and sign -----------------------------------------------------------------------------------------

const dialog = document.getElementById("sign");
const refused = document.getElementById("refused");
const password = document.getElementById("password");

function say(words) {
  refused.textContent = words;
  refused.hidden = !words;
}

function sign() {
  if (!anyShown) {
    failed(true);
    document.getElementById("retry").focus();
    saved.textContent = t.not_shown;
    return;
  }
  if (!complete()) {
    saved.textContent = t.missing;
    const open = usable().find((scale) => !inputs(scale).some((input) => input.checked));
    if (open) focusScale(open);
    return;
  }
  say("");
  password.value = "";
  dialog.showModal();
  password.focus();
}

async function signed(event) {
  event.preventDefault();
  try {
    const answer = await ask(`/units/${state.code}/lock`, "POST", { ...read(), read: state.read, password: password.value });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) {
      localStorage.removeItem(pendingKey);
      location.href = `/units/${state.code}/next`;
    } else say(told.error || told.detail || answer.statusText);
  } catch (error) {
    say(t.offline);
  }
}

if (state.open) {
  form.addEventListener("change", changed);
  comment.addEventListener("input", changed);
  document.getElementById("lock").addEventListener("click", sign);
  document.getElementById("signed").addEventListener("click", signed);
  document.getElementById("cancel").addEventListener("click", () => dialog.close());
}
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", press);

const pending = state.open ? kept() : null;
let reading = state.reading;
if (pending && pending.sent && pending.turn > turn) reading = pending.reading; // the page came before its answer
if (pending && !pending.sent) reading = merged(state.reading, pending.known || state.reading, pending.reading, pending.at);
fill(reading);
if (same(reading, state.reading)) {
  localStorage.removeItem(pendingKey);
  tell(state.mmasi);
} else {
  turn = Math.max(pending.turn, turn + 1);
  keep(false); // once more: the answer brings the score
}
mark();
send();
if (state.open) {
  const first = usable().find((scale) => !inputs(scale).some((input) => input.checked)) || usable()[0];
  if (first) focusScale(first);
}
document.body.dataset.ready = "yes";
