// The page: newest record in, picture, ticks and rail out. Nothing on it moves unless a new picture moved it.

import { follow, press } from "./link.js";
import { Picture } from "./picture.js";
import { Rail } from "./rail.js";
import { Settled, familyOf } from "./states.js";
import { say, words } from "./strings.js";

const STALE_MS = 1500; // without a drawn picture for this long the AI is not running
const WATCH_MS = 200;

const picture = new Picture(document.getElementById("picture"), document.getElementById("ticks"));
const rail = new Rail();
let settled = new Settled();

let pending = null; // the newest record that is not drawn yet; an older one is forgotten
let drawing = false;
let scene = null; // what is on the screen
let drawnMs = -Infinity;
let lost = true;
let link = { up: false, status: 0 };

function onRecord(record) {
  link = { up: true, status: 200 };
  if (record.values.kind !== "scene") return;
  pending = record;
  if (!drawing) void drawAll();
}

async function drawAll() {
  drawing = true;
  try {
    while (pending !== null) {
      const record = pending;
      pending = null;
      const bitmap = record.jpeg.length === 0 ? null : await createImageBitmap(new Blob([record.jpeg]));
      await new Promise(requestAnimationFrame);
      draw(bitmap, record.values);
      bitmap?.close();
    }
  } catch (error) {
    console.error(error); // what is not drawn grows old, and the page says so
  } finally {
    drawing = false;
  }
}

function draw(bitmap, values) {
  const nowMs = performance.now();
  const family = familyOf(values.state);
  const state = settled.take({ family, words: values.words, reason: values.reason }, nowMs);
  picture.draw(bitmap, values.box);
  rail.state(state);
  rail.scene(values, family, nowMs);
  scene = values;
  drawnMs = nowMs;
  if (!lost) return;
  lost = false;
  delete document.body.dataset.stale;
}

function watch() {
  const silentMs = performance.now() - drawnMs;
  if (silentMs < STALE_MS) return;
  if (!lost) {
    lost = true;
    settled = new Settled();
    picture.point(null);
    rail.blank();
    document.body.dataset.stale = "";
  }
  rail.state({ family: "off", words: words.notRunning, reason: whyLost(silentMs / 1000) });
  const veil = document.getElementById("veil-words");
  veil.textContent = scene === null ? words.noPicture : say.lastPicture(silentMs / 1000);
}

function whyLost(silentS) {
  if (link.status === 401) return words.refused;
  if (!link.up) return words.noLink;
  return scene === null ? words.noPicture : say.staleFor(silentS);
}

// One press is for one alert: the newest that is in view and not seen, else the newest not seen.
async function pressSeen() {
  const unseen = (scene?.alerts ?? []).filter((line) => !line.seen).sort((a, b) => a.ago_s - b.ago_s);
  if (lost || unseen.length === 0) return;
  const line = unseen.find((each) => each.active) ?? unseen[0];
  if (!(await press("/seen", { alert: line.alert }))) rail.note(words.pressLost);
}

async function pressAI() {
  if (lost || scene === null) return;
  if (!(await press("/ai", { on: scene.state === "AI_OFF" }))) rail.note(words.pressLost);
}

// The space bar is always "Seen", wherever the focus is: a gloved hand must not turn the AI off by it.
for (const kind of ["keydown", "keyup"]) {
  document.addEventListener(kind, (event) => {
    if (event.code !== "Space") return;
    event.preventDefault();
    if (kind === "keydown" && !event.repeat) void pressSeen();
  });
}
document.getElementById("seen").addEventListener("click", () => void pressSeen());
document.getElementById("ai").addEventListener("click", () => void pressAI());

setInterval(watch, WATCH_MS);
void follow(onRecord, (status) => {
  link = { up: false, status };
});
