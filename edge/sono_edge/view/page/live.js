// The page: newest record in, picture, ticks and rail out. Nothing on it moves unless a new picture moved it.

import { Captures } from "./captures.js";
import { drawn, keepClock } from "./clock.js";
import { Held, Pressed, Tap, listen } from "./hands.js";
import { Hold } from "./hold.js";
import { follow, press } from "./link.js";
import { Picture } from "./picture.js";
import { Rail } from "./rail.js";
import { Reasons } from "./reasons.js";
import { Scans } from "./scans.js";
import { Settled, familyOf } from "./states.js";
import { adviceFor, language, reasonIn, say, states, words } from "./strings.js";
import { Theme } from "./theme.js";
import { Tone } from "./tone.js";

const STALE_MS = 1500; // without a drawn picture for this long the AI is not running
const WATCH_MS = 200;

document.documentElement.lang = language;

const picture = new Picture(document.getElementById("picture"), document.getElementById("ticks"));
const rail = new Rail();
const hold = new Hold(picture);
const scans = new Scans((text) => rail.note(text));
const captures = new Captures((now) => scans.running(now));
const tone = new Tone();
const reasons = new Reasons((text, shownMs) => rail.note(text, shownMs));
const theme = new Theme((now) => rail.theme(now));
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
  const state = settled.take({ family, words: states[values.state] ?? values.words, reason: whyOf(values) }, nowMs);
  if (!hold.on) picture.draw(bitmap, values.box);
  rail.state(state);
  rail.scene(values, family, nowMs, captures.available);
  tone.hear(values.alerts);
  if (bitmap !== null) drawn(values.arrived_s);
  scene = values;
  drawnMs = nowMs;
  if (!lost) return;
  lost = false;
  delete document.body.dataset.stale;
}

// Beside the state stands only what the line of advice does not say already.
function whyOf({ state, reason }) {
  if (!(state in states)) return words.unknownState;
  return adviceFor(reason) === null ? reasonIn(reason) : "";
}

function watch() {
  const silentMs = performance.now() - drawnMs;
  if (silentMs < STALE_MS) return;
  if (!lost) {
    lost = true;
    settled = new Settled();
    hold.set(false);
    picture.point(null);
    rail.blank();
    document.body.dataset.stale = "";
  }
  const seconds = Math.floor(silentMs / 1000);
  rail.state({ family: "off", words: words.notRunning, reason: whyLost(seconds) });
  const veil = document.getElementById("veil-words");
  veil.textContent = scene === null ? words.noPicture : say.lastPicture(seconds);
}

function whyLost(seconds) {
  if (link.status === 401) return words.refused;
  if (!link.up) return words.noLink;
  return scene === null ? words.noPicture : say.staleFor(seconds);
}

// One press is for one alert: the newest that is in view and not seen, else the newest not seen.
async function pressSeen() {
  const unseen = (scene?.alerts ?? []).filter((line) => !line.seen).sort((a, b) => a.ago_s - b.ago_s);
  if (lost || unseen.length === 0) return;
  const line = unseen.find((each) => each.active) ?? unseen[0];
  if ((await press("/seen", { alert: line.alert })) !== 204) rail.note(words.pressLost);
  else reasons.offer(line.alert);
}

async function pressCapture() {
  if (lost || scene === null) return;
  const status = await press("/capture", {});
  if (status === 404) rail.note(words.noCapture);
  else rail.note(status >= 200 && status < 300 ? words.captured : words.pressLost);
}

async function pressAI() {
  if (lost || scene === null) return;
  if ((await press("/ai", { on: scene.state === "AI_OFF" })) !== 204) rail.note(words.pressLost);
}

function turnTone() {
  tone.toggle();
  rail.tone(tone.on);
}

listen({
  seen: new Pressed({ short: () => void pressSeen(), long: () => void pressCapture() }),
  ai: new Tap(() => void pressAI()),
  hold: new Held((down) => hold.set(down && !lost)),
  theme: new Tap(() => theme.toggle()),
  tone: new Tap(turnTone),
  scan: new Pressed({ short: () => scans.tapped(), long: () => void scans.end(), sure: () => scans.entered() }),
  scans: new Tap(() => scans.toggle()),
});
keepClock();
setInterval(watch, WATCH_MS);
void follow(onRecord, (status) => {
  link = { up: false, status };
});
