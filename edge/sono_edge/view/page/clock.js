// How old a picture is when it is on the screen: the device's clock, as this page knows it, against its own.

const KEPT = 600;
const ASKS = 8;
const AGAIN_MS = 60000;

let offsetMs = null; // the device's clock minus this page's
const agesMs = [];

// Cristian's algorithm: of a few questions the quickest answer is off by at most half of its round trip.
async function agree() {
  let best = Infinity;
  for (let i = 0; i < ASKS; i += 1) {
    const asked = performance.now();
    const answer = await fetch("/clock", { cache: "no-store" });
    if (!answer.ok) return;
    const { now_s } = await answer.json();
    const trip = performance.now() - asked;
    if (trip >= best) continue;
    best = trip;
    offsetMs = now_s * 1000 - (asked + trip / 2);
  }
}

// A scene was drawn: its age counts when the next frame of the screen begins, since by then it has been shown.
export function drawn(arrivedS) {
  requestAnimationFrame(() => {
    if (offsetMs === null) return;
    agesMs.push(performance.now() + offsetMs - arrivedS * 1000);
    if (agesMs.length > KEPT) agesMs.shift();
  });
}

// Milliseconds from the picture's arrival in the device to the screen; null before there are any.
export function age(share) {
  if (agesMs.length === 0) return null;
  const ordered = [...agesMs].sort((a, b) => a - b);
  return ordered[Math.min(ordered.length - 1, Math.floor(share * ordered.length))];
}

export const measured = () => agesMs.length;

export function keepClock() {
  const ask = () => void agree().catch(() => {});
  ask();
  setInterval(ask, AGAIN_MS);
}
