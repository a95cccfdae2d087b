// A scan's way to the drive: a button, and a line that says what became of it or why it cannot be.

import { button, make } from "./dom.js";
import { press } from "./link.js";
import { language, reasonIn, words } from "./strings.js";

const UNWRITABLE = /^the drive cannot be written \(.*\); nothing was exported$/;

export const ABSENT = { ready: false, why_not: "", outcome: "none", scan: "", reason: "" };

export function driveLine(drive) {
  if (drive.outcome === "running") return words.saving;
  if (drive.why_not) return reasonIn(drive.why_not);
  return words.driveReady;
}

export function outcomeOf(drive, scan) {
  if (drive.scan !== scan) return "";
  if (drive.outcome === "running") return words.saving;
  if (drive.outcome === "done") return [words.saved, reasonIn(drive.reason)].filter(Boolean).join(", ");
  return drive.outcome === "failed" ? `${words.notSaved}: ${whyNot(drive.reason)}` : "";
}

const whyNot = (reason) => (UNWRITABLE.test(reason) ? words.drivePulled : reasonIn(reason));

export function saveButton(drive, scan, { running = false } = {}) {
  const save = () => void press("/scan/export", { scan, lang: language });
  return button(`save-${scan}`, words.save, save, { disabled: !drive.ready || running, class: "save" });
}

export function outcomeLine(drive, scan) {
  return make("p", { class: "outcome", role: "status" }, outcomeOf(drive, scan));
}
