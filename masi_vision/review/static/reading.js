// The reading page: photo, grades, and drafts that survive a lost network, a reload and a server that was killed.
"use strict";

const state = JSON.parse(document.getElementById("state").textContent);
const t = state.words;
const form = document.getElementById("grades");
const saved = document.getElementById("saved");
const why = document.getElementById("ungradable");
const comment = document.getElementById("comment");
const scales = [...document.querySelectorAll(".scale")];
let current = 0; // the view that is shown
let last = null; // what had the focus last, beside the photo

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
  viewer.canvas.tabIndex = -1; // nothing is done there by keys; and a click leaves the focus where it was
  viewer.addHandler("canvas-press", () => { if (last) setTimeout(() => last.focus({ preventScroll: true })); });
  return viewer;
}

const urlOf = (view) => `/units/${state.code}/photos/${view}`;
const place = document.getElementById("viewer");
const viewer = state.views.length ? shown(place, urlOf(state.views[0])) : null;
const looked = new Set(); // the views that were on the screen, not above or below it
const LEAST_PX = 150; // a strip of a photo is no look at it
const LEAST_MS = 1000; // nor is a glimpse, by a key pressed three times
let inSight = false;
if (viewer) {
  viewer.addHandler("open", () => {
    document.body.dataset.shown = state.views[current];
    failed(false);
    noteLooked();
  });
  viewer.addHandler("open-failed", () => failed(true));
  viewer.addHandler("tile-load-failed", () => failed(true));
  new IntersectionObserver((changes) => {
    inSight = changes.at(-1).intersectionRatio >= 0.5;
    noteLooked();
  }, { threshold: [0, 0.5, 1] }).observe(place);
}

let looking = null;
function noteLooked() {
  const view = document.body.dataset.shown;
  clearTimeout(looking);
  if (inSight && place.clientHeight >= LEAST_PX && view) looking = setTimeout(() => looked.add(view), LEAST_MS);
}

document.getElementById("retry").addEventListener("click", () => show(current));

// A photo that did not come is said where it should be, with a way to ask for it again.
function failed(did) {
  document.getElementById("photo-waits").hidden = true;
  if (did) delete document.body.dataset.shown; // hides what the viewer holds: the photo before, its own words
  document.getElementById("photo-failed").hidden = !did;
  const words = document.getElementById("photo-why");
  words.textContent = "";
  if (!did) return;
  fetch(urlOf(state.views[current])).then(async (answer) => {
    if (answer.ok) return;
    const told = await answer.json();
    [words.textContent, words.lang] = [told.error, told.language || ""];
  }).catch(() => {}); // the network: that is said already
}

function show(number) {
  if (!viewer) return;
  current = (number + state.views.length) % state.views.length;
  delete document.body.dataset.shown;
  clearTimeout(looking);
  document.getElementById("photo-failed").hidden = true;
  document.getElementById("photo-waits").hidden = false;
  viewer.open({ type: "image", url: urlOf(state.views[current]) });
  mark();
}

function mark() {
  if (viewer) place.setAttribute("aria-label", `${t.photo_of}: ${t[state.views[current]]}`);
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.views[current]));
  }
}

for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(state.views.indexOf(button.dataset.view)));
}

// By keys and by buttons what a mouse does by dragging.
const steps = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };
function move(how) {
  if (!viewer) return;
  const { viewport } = viewer;
  if (how === "larger") viewport.zoomBy(1.5);
  else if (how === "smaller") viewport.zoomBy(1 / 1.5);
  else if (how === "whole") viewport.goHome();
  else {
    const { width, height } = viewport.getBounds();
    viewport.panBy(new OpenSeadragon.Point((steps[how][0] * width) / 4, (steps[how][1] * height) / 4));
  }
  viewport.applyConstraints();
}

for (const button of document.querySelectorAll("[data-move]")) {
  button.addEventListener("click", () => move(button.dataset.move));
}

const chart = document.getElementById("chart");
if (chart) {
  const beside = document.getElementById("chart-viewer");
  let made = false;
  chart.addEventListener("click", () => {
    beside.hidden = !beside.hidden;
    chart.setAttribute("aria-pressed", String(!beside.hidden));
    if (!made) shown(beside, "/chart");
    made = true;
  });
}

// --- the grades --------------------------------------------------------------------------------------------

function inputs(scale) {
  return [...scale.querySelectorAll("input")];
}

// What is not saved is said where it is seen, wherever the page is scrolled to.
function note(words, language = "", isUnsaved = false) {
  saved.textContent = words;
  saved.classList.toggle("unsaved", isUnsaved);
  saved.lang = language || document.documentElement.lang;
}

// The score is the server's: while it has not what is on the screen, there is none.
function tell(mmasi) {
  document.getElementById("score").textContent = mmasi === null ? "–" : mmasi.toFixed(1);
}

function fill(reading) {
  remembered.clear();
  for (const scale of scales) {
    const value = (reading.grades[scale.dataset.region] || {})[scale.dataset.scale];
    for (const input of inputs(scale)) input.checked = value !== undefined && Number(input.value) === value;
  }
  why.value = reading.ungradable;
  if (comment.value !== reading.comment) comment.value = reading.comment; // that would end a word in the making
  tell(null);
  ease();
  tellRoom();
}

// A browser cuts what is too long without a word.
const limited = [...document.querySelectorAll("[maxlength]")];
function tellRoom() {
  for (const field of limited) {
    const left = field.maxLength - field.value.length;
    field.parentElement.querySelector(".room").textContent = left < 100 ? t.room.replace("{left}", left) : "";
  }
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

// A region without pigment has no darkness; a unit that cannot be graded has no grades. What the darkness was is
// remembered for who comes back from area 0.
const remembered = new Map();
function ease() {
  const reading = read();
  for (const scale of scales) {
    const none = (reading.grades[scale.dataset.region] || {}).area === 0 && scale.dataset.scale !== "area";
    const off = !state.open || Boolean(why.value) || none;
    const chosen = inputs(scale).find((input) => input.checked);
    if (none && chosen) {
      if (!remembered.has(scale)) remembered.set(scale, chosen);
      chosen.checked = false;
    } else if (!none && remembered.has(scale)) {
      remembered.get(scale).checked ||= !chosen;
      remembered.delete(scale);
    }
    // Every region takes two keys: of none the second is 0 too, so that no key slips to the next region.
    for (const input of inputs(scale)) input.disabled = off && !(takesZero(scale) && input.value === "0");
    scale.classList.toggle("off", off);
  }
}

function takesZero({ dataset: { region, scale } }) {
  return state.open && !why.value && scale !== "area" && (read().grades[region] || {}).area === 0;
}

function lacksComment() {
  return why.value === "other" && !comment.value.trim();
}

function complete() {
  if (why.value) return !lacksComment();
  return scales.every((scale) => {
    return scale.classList.contains("off") || inputs(scale).some((input) => input.checked);
  });
}

// --- drafts ------------------------------------------------------------------------------------------------
//
// A field is one grade, the reason or the comment. What a person changes is unsent until the server has it: field by
// field in the storage of the browser, which outlives the page and is shared by its windows. The server numbers what it
// saves, and saves only for a page that has seen the save before. It answers another page with what it has; that page
// lays its unsent fields over it and sends again.

const unsentKey = `masi:${state.database}:${state.reader}:${state.code}:${state.read}:`;
const seenKey = `${unsentKey}seen`;
let onServer = fieldsOf(state.reading); // as this page last heard
let seen = state.turn; // the number of that save
let behind = false; // whether the server may have more than this page has seen
let scored = state.mmasi; // of that save
let isComposing = false; // a word of the comment
let elsewhere = false; // until the next change here: grades on the screen are of another page

function fieldsOf(reading) {
  const fields = { ungradable: reading.ungradable, comment: reading.comment };
  for (const { dataset: { region, scale } } of scales) {
    fields[`${region} ${scale}`] = (reading.grades[region] || {})[scale] ?? null;
  }
  return fields;
}

function readingOf(fields) {
  const reading = { grades: {}, ungradable: fields.ungradable, comment: fields.comment };
  for (const { dataset: { region, scale } } of scales) {
    const value = fields[`${region} ${scale}`];
    const none = scale !== "area" && fields[`${region} area`] === 0;
    if (value !== null && !none) (reading.grades[region] ||= {})[scale] = value;
  }
  return reading;
}

// By field: its value, what the server had when it was changed, and when that was.
function unsent() {
  const found = {};
  for (const name of Object.keys(onServer)) {
    const change = localStorage.getItem(unsentKey + name);
    if (change) found[name] = JSON.parse(change);
  }
  return found;
}

function isUnsent() {
  return Object.keys(unsent()).length > 0;
}

function forget(name) {
  localStorage.removeItem(unsentKey + name);
}

// What the server has, and over it what it does not have yet.
function newest() {
  const fields = { ...onServer };
  for (const [name, change] of Object.entries(unsent())) fields[name] = change.value;
  return readingOf(fields);
}

function showNewest() {
  const [now, before] = [newest(), fieldsOf(read())];
  if (isComposing) now.comment = before.comment; // it is neither unsent nor on the server yet
  if (Object.entries(fieldsOf(now)).every(([name, value]) => value === before[name])) return;
  fill(now);
  elsewhere = true;
  note(t.elsewhere);
}

function changed() {
  const before = fieldsOf(newest());
  elsewhere = false;
  ease();
  for (const [name, value] of Object.entries(fieldsOf(read()))) {
    if (value === before[name]) continue;
    localStorage.setItem(unsentKey + name, JSON.stringify({ value, over: onServer[name], at: Date.now() }));
    if (name !== "comment") tell(null);
  }
  send();
}

async function ask(path, method, body) {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRF-Token": state.csrf },
    body: JSON.stringify(body),
  });
  if (answer.status === 401) {
    location.href = `/sign-in?unit=${state.code}`; // what is unsent is kept, and sent when the page is opened again
    return new Promise(() => {});
  }
  return answer;
}

let running = null;
let retry = null;
let wait = 500;
let isAway = false; // the server, when last asked
// Until the server has what is on the screen, or cannot be reached.
function send() {
  running ||= sendAll().finally(() => { running = null; });
  return running;
}

async function sendAll() {
  while (behind || isUnsent()) {
    if (!saved.classList.contains("unsaved")) note(t.saving); // tried again, it is as unsaved as before
    const sent = { fields: unsent(), at: Date.now() };
    const body = { ...newest(), turn: behind ? 0 : seen + 1, read: state.read }; // 0 only asks
    let answer, told;
    try {
      answer = await ask(`/units/${state.code}/draft`, "PUT", body);
      told = await answer.json();
      if (answer.status >= 500) throw new Error(told.error);
    } catch (error) {
      isAway = true;
      note(answer?.status === 503 && told?.error ? `${told.error} ${t.kept}` : t.offline, told?.language, true);
      clearTimeout(retry);
      retry = setTimeout(send, wait);
      wait = Math.min(2 * wait, 8000);
      return;
    }
    [wait, isAway] = [500, false];
    if (!answer.ok) return notTaken(answer.status, told.error || answer.statusText, told.language);
    take(told, sent);
  }
  note(elsewhere ? t.elsewhere : t.saved);
  if (refused.textContent === t.offline) say("");
}

// What cannot be taken is dropped; a page that is too old, or of another person, keeps it and is opened again, once.
function notTaken(status, words, language) {
  behind = false;
  if ([409, 422].includes(status)) {
    Object.keys(onServer).forEach(forget);
    showNewest();
    tell(scored);
  }
  note(words, language);
  if (status === 403 && !sessionStorage.getItem(unsentKey)) {
    sessionStorage.setItem(unsentKey, "opened again");
    location.reload();
  }
}

function take(told, sent) {
  sessionStorage.removeItem(unsentKey);
  sessionStorage.setItem(seenKey, told.turn);
  [onServer, seen, scored, behind] = [fieldsOf(told.reading), told.turn, told.mmasi, false];
  for (const [name, change] of Object.entries(unsent())) {
    const wasSent = sent.fields[name] && sent.fields[name].at === change.at;
    if (told.accepted ? wasSent : isOutdated(change, onServer[name], told.saved_ms_ago, sent.at)) forget(name);
  }
  showNewest();
  if (!isUnsent()) tell(scored);
}

// Whether the server has a newer value of a field: one that was given elsewhere after the change here.
function isOutdated(change, theirs, savedMsAgo, sentAt) {
  if (theirs === change.value) return true;
  return theirs !== change.over && savedMsAgo !== null && sentAt - change.at > savedMsAgo;
}

// Another window of this browser: what it changes is shown, and when the server has it, asked for.
function heard(event) {
  if (!event.key || !event.key.startsWith(unsentKey)) return;
  if (event.newValue === null) {
    behind = true;
    send();
  } else showNewest();
}

// --- keys --------------------------------------------------------------------------------------------------

function usable() {
  return scales.filter((scale) => !scale.classList.contains("off"));
}

function focusScale(scale) {
  const of = inputs(scale);
  (of.find((input) => input.checked) || of[0]).focus();
}

function next(scale, isTaking) {
  const following = scales.slice(scales.indexOf(scale) + 1).find(isTaking);
  if (following) focusScale(following);
  else document.getElementById("lock").focus();
}

// To the scale before or after: nothing is graded by moving.
function step(scale, by) {
  const order = by > 0 ? scales : [...scales].reverse();
  const at = order.slice(order.indexOf(scale) + 1).find((one) => !one.classList.contains("off"));
  if (at) focusScale(at);
}

// A digit that grades nothing is said: who looks at the photo would go on, one place beside.
function hint(words) {
  document.getElementById("hint").textContent = words;
}

function grade(scale, digit) {
  const input = scale && inputs(scale).find((one) => one.value === digit && !one.disabled);
  if (!scale) return hint(t.no_scale.replace("{digit}", digit));
  if (!input) return hint((takesZero(scale) ? t.none_there : t.no_grade).replace("{digit}", digit).replace("{what}", scale.ariaLabel));
  hint("");
  if (!takesZero(scale)) {
    input.checked = true;
    changed();
  }
  next(scale, (one) => inputs(one).some(({ disabled }) => !disabled));
}

// A click goes on as a key does: else a key after it would change what was clicked.
let isPointing = false;
function clicked(event) {
  hint("");
  changed();
  const scale = event.target.closest(".scale");
  if (isPointing && scale) next(scale, (one) => !one.classList.contains("off"));
}

// Who speaks to the machine, or leans on the keys, can do without keys of one letter.
const letters = document.getElementById("letters"); // none where nothing is graded
const areLettersOff = () => localStorage.getItem("masi:letters") === "off";
if (letters) {
  letters.checked = !areLettersOff();
  letters.addEventListener("change", () => {
    if (letters.checked) localStorage.removeItem("masi:letters");
    else localStorage.setItem("masi:letters", "off");
  });
}

function press(event) {
  const scale = event.target.closest ? event.target.closest(".scale") : null;
  const isArrow = event.key.startsWith("Arrow");
  const typing = ["TEXTAREA", "SELECT"].includes(event.target.tagName) || ["text", "password"].includes(event.target.type);
  if (typing || document.getElementById("sign").open) return;
  if (isArrow && (scale || event.shiftKey)) event.preventDefault(); // else a browser grades, and goes on from 6 to 0
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase(); // Caps Lock and Shift make no other key of a letter
  const isLetter = /^[a-z]$/.test(key);
  if (isLetter && areLettersOff()) return;
  if (isArrow && event.shiftKey) move(event.key.slice("Arrow".length).toLowerCase());
  else if (scale && isArrow) step(scale, ["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : -1);
  else if (/^[0-9]$/.test(event.key) && state.open) {
    event.preventDefault();
    grade(scale, event.key);
  } else if (key === "v") show(current + 1);
  else if (["u", "l"].includes(key) && state.open) {
    event.preventDefault(); // else the letter lands in the field that gets the focus
    if (key === "u") why.focus();
    else sign();
  }
  else if (event.key === "+") move("larger");
  else if (["-", "_"].includes(event.key)) move("smaller");
  else if (["=", ")"].includes(event.key)) move("whole");
}

// --- lock and sign -----------------------------------------------------------------------------------------

const dialog = document.getElementById("sign");
const refused = document.getElementById("refused");
const password = document.getElementById("password");
const signing = document.getElementById("signed");
let isSigning = false;

function say(words, language = "") {
  refused.textContent = words;
  refused.lang = language || document.documentElement.lang;
  refused.hidden = !words;
}

// Regions of which an area is graded and no darkness: they count for nothing, which may be a slip.
let asked = "";
function withoutDarkness() {
  return scales.filter(({ dataset: { region, scale } }) => {
    const given = read().grades[region] || {};
    return scale === "darkness" && given.area > 0 && given.darkness === 0;
  });
}

// What is signed, in words: a grade that slipped to another region is seen there at the latest.
function graded() {
  if (why.value) return [why.selectedOptions[0].textContent];
  return [...document.querySelectorAll(".region")].map((region) => {
    const given = [...region.querySelectorAll(".scale:not(.off)")].map((scale) => {
      return `${scale.querySelector("span").textContent} ${inputs(scale).find((input) => input.checked).value}`;
    });
    return `${region.querySelector("legend").textContent}: ${given.join(t.between_grades)}`;
  });
}

function sign() {
  if (viewer && !looked.size && !document.body.dataset.shown) {
    failed(true);
    document.getElementById("retry").focus();
    note(t.not_shown);
    return;
  }
  const unseen = state.views.find((view) => !looked.has(view));
  if (unseen && (!why.value || !looked.size)) { // what is signed is that the unit was graded from its photographs
    place.scrollIntoView({ block: "nearest" });
    if (document.body.dataset.shown !== unseen) show(state.views.indexOf(unseen));
    note(t.not_seen.replace("{view}", t[unseen]));
    return;
  }
  if (!complete()) {
    const open = usable().find((scale) => !inputs(scale).some((input) => input.checked));
    note(lacksComment() ? t.missing_comment : `${t.missing} ${t.missing_here.replace("{what}", open.ariaLabel)}`);
    if (lacksComment()) comment.focus();
    else focusScale(open);
    return;
  }
  const odd = why.value ? [] : withoutDarkness();
  const ofThem = odd.map((scale) => scale.ariaLabel).join(t.between_grades);
  if (ofThem !== asked) {
    asked = ofThem;
    if (odd.length) {
      note(t.no_darkness.replace("{what}", ofThem));
      document.getElementById("lock").focus(); // beside what is asked
      return;
    }
  }
  say("");
  document.getElementById("signing").replaceChildren(...graded().map((words) => {
    const line = document.createElement("li");
    line.textContent = words;
    return line;
  }));
  password.value = "";
  dialog.showModal();
  password.focus();
}

// Once at a time: every wrong password counts, also those of a key that was held.
async function signed(event) {
  event.preventDefault();
  if (isSigning) return;
  if (!password.value) {
    password.focus();
    return;
  }
  isSigning = true;
  signing.disabled = true;
  say("");
  const words = signing.textContent;
  signing.textContent = t.signing;
  try {
    await signAndLock();
  } finally {
    signing.textContent = words;
    signing.disabled = false;
    isSigning = false;
    password.value = "";
    password.focus();
  }
}

async function signAndLock() {
  const seenHere = JSON.stringify(read());
  await send(); // what is signed is what is saved, and what was on the screen
  if (isUnsent()) return say(saved.textContent);
  if (JSON.stringify(read()) !== seenHere) return say(t.elsewhere);
  try {
    const answer = await ask(`/units/${state.code}/lock`, "POST", { ...read(), read: state.read, password: password.value });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) {
      location.href = `/units/${state.code}/next`;
      return;
    }
    if (!told.error) return say(answer.status >= 500 ? t.not_answered : answer.statusText);
    say(told.error, told.language);
    behind = answer.status === 409; // perhaps graded elsewhere meanwhile: that is shown
    send();
  } catch (error) {
    say(t.not_answered);
  }
}

if (state.open) {
  form.addEventListener("change", clicked);
  addEventListener("pointerdown", () => { isPointing = true; }, true);
  addEventListener("keydown", () => { isPointing = false; }, true);
  addEventListener("beforeunload", (event) => { if (isAway && isUnsent()) event.preventDefault(); });
  // Letters on their way to a Chinese word are no comment yet.
  comment.addEventListener("input", (event) => event.isComposing || changed());
  comment.addEventListener("compositionstart", () => { isComposing = true; });
  comment.addEventListener("compositionend", () => {
    isComposing = false;
    changed();
  });
  document.getElementById("lock").addEventListener("click", sign);
  signing.addEventListener("click", signed);
  password.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.repeat) event.preventDefault(); });
  document.getElementById("cancel").addEventListener("click", () => { if (!isSigning) dialog.close(); });
  dialog.addEventListener("cancel", (event) => { if (isSigning) event.preventDefault(); }); // Escape
}
for (const field of limited) field.addEventListener("input", tellRoom);
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", press);
document.addEventListener("focusin", (event) => { if (!event.target.closest("#viewer, #chart-viewer")) last = event.target; });

fill(state.open ? newest() : state.reading);
if (!isUnsent()) tell(state.mmasi);
mark();
begin();

async function begin() {
  if (state.open) {
    // What is unsent may be of long ago; and a page may have been on its way before the last save of the one before it.
    behind = isUnsent() || Number(sessionStorage.getItem(seenKey)) > seen;
    addEventListener("storage", heard);
    if (behind) await send(); // first: a key goes to the first scale without a grade
    const onward = document.getElementById("next"); // a second read need not be given: no key grades unasked
    const first = usable().find((scale) => !inputs(scale).some((input) => input.checked)) || usable()[0];
    if (onward) onward.focus();
    else if (first) focusScale(first);
  }
  document.body.dataset.ready = "yes";
}
