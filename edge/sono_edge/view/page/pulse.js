// The dot that breathes while the AI judges. New pictures move it: where none come it stands still.

export const PERIOD_MS = 3200;
const FAINT = 0.45;
const STEPS = 20; // opacities: not every picture needs a new one

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function opacityAt(nowMs) {
  if (still.matches) return 1;
  const share = (1 + Math.cos((2 * Math.PI * nowMs) / PERIOD_MS)) / 2;
  return FAINT + (1 - FAINT) * (Math.round(share * STEPS) / STEPS);
}
