// A captured frame, large, for as long as somebody holds it: with lines of equal saliency where the AI scored it.

import { Picture } from "./picture.js";
import { say, words } from "./strings.js";

const by = (id) => document.getElementById(id);

export class Look {
  #picture = new Picture(by("look-picture"), by("look-lines"));
  #turn = 0;

  async show(base, capture) {
    const turn = (this.#turn += 1);
    const at = say.clock(capture.captured_s);
    by("look-words").textContent = `${at}: ${capture.saliency ? words.lookedHere : words.notScored}`;
    const [bitmap, map] = await Promise.all([
      fetchBitmap(`${base}/${capture.id}.png`),
      capture.saliency ? fetchBitmap(`${base}/${capture.id}-saliency.png`) : null,
    ]);
    if (turn !== this.#turn || bitmap === null) return;
    by("look").hidden = false;
    if (map === null) this.#picture.draw(bitmap, null);
    else this.#picture.hold(bitmap, { ...valuesOf(map), place: [0, 0, 1, 1] });
  }

  hide() {
    this.#turn += 1;
    by("look").hidden = true;
  }
}

async function fetchBitmap(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await createImageBitmap(await answer.blob()) : null;
  } catch {
    return null;
  }
}

// The map's cells, 0 to 255, row by row.
function valuesOf(bitmap) {
  const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  const map = Array.from({ length: bitmap.width * bitmap.height }, (_, i) => data[4 * i]);
  return { rows: bitmap.height, columns: bitmap.width, map };
}
