// The picture as it came, and over it, on a canvas of its own, the four corners where the model points; while a
// picture is held, lines of equal saliency instead.

import { contours, toPicture } from "./contours.js";

const AROUND = 1.15; // the ticks' box over the lesion's
const LINE = 2; // CSS pixels
const HALO = 2; // CSS pixels of black on either side
const LEVELS = [0.3, 0.6]; // of the map's peak
const PEAK_LEAST = 0.02 * 255; // below it nothing stands out
const INSET = 4; // CSS pixels that the ticks stay inside of the picture

// Where a picture lies in a box of this size when it is shown whole (object-fit: contain).
export function contain(width, height, boxWidth, boxHeight) {
  const scale = Math.min(boxWidth / width, boxHeight / height);
  const [shownWidth, shownHeight] = [width * scale, height * scale];
  return { x: (boxWidth - shownWidth) / 2, y: (boxHeight - shownHeight) / 2, width: shownWidth, height: shownHeight };
}

// The corners' rectangle for a box in fractions of the picture: 1.15 times it, kept inside of the picture.
export function around([x0, y0, x1, y1], shown) {
  const grow = (low, high, start, length) => {
    const [middle, half] = [((low + high) / 2) * length, ((high - low) / 2) * length * AROUND];
    return [start + Math.max(middle - half, INSET), start + Math.min(middle + half, length - INSET)];
  };
  const [left, right] = grow(x0, x1, shown.x, shown.width);
  const [top, bottom] = grow(y0, y1, shown.y, shown.height);
  return { left, top, right, bottom };
}

export class Picture {
  #picture;
  #ticks;
  #box = null;
  #lines = null;
  #place = "";

  constructor(picture, ticks) {
    this.#picture = picture;
    this.#ticks = ticks;
    new ResizeObserver(() => this.#drawOver()).observe(ticks);
  }

  // `bitmap` null: there is no picture. `box` null: the model points nowhere.
  draw(bitmap, box) {
    const canvas = this.#picture;
    if (bitmap === null) {
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    } else {
      if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
      if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
    }
    this.point(bitmap === null ? null : box);
  }

  point(box) {
    const place = JSON.stringify([box, this.#picture.width, this.#picture.height]);
    if (this.#lines === null && place === this.#place) return; // what stands need not be drawn again
    this.#place = place;
    this.#box = box;
    this.#lines = null;
    this.#drawOver();
  }

  // `held` as the device gives it: rows, columns, map (0 to 255), place. `bitmap` is the picture it belongs to.
  hold(bitmap, held) {
    this.draw(bitmap, null);
    const peak = Math.max(...held.map);
    const levels = peak < PEAK_LEAST ? [] : LEVELS.map((share) => share * peak);
    const lines = levels.flatMap((level) => contours(held.map, held.rows, held.columns, level));
    this.#lines = lines.map(toPicture(held.place));
    this.#drawOver();
  }

  #drawOver() {
    const canvas = this.#ticks;
    const dots = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    if ((this.#box === null && this.#lines === null) || width === 0 || height === 0) return;
    const pen = canvas.getContext("2d");
    pen.scale(dots, dots);
    const shown = contain(this.#picture.width, this.#picture.height, width, height);
    if (this.#lines === null) strokeCorners(pen, around(this.#box, shown));
    else strokeLines(pen, this.#lines, shown);
  }
}

function strokeCorners(pen, { left, top, right, bottom }) {
  const arm = Math.min(Math.max(0.22 * Math.min(right - left, bottom - top), 14), 44);
  const corners = new Path2D();
  for (const [x, y, dx, dy] of [
    [left, top, arm, arm],
    [right, top, -arm, arm],
    [right, bottom, -arm, -arm],
    [left, bottom, arm, -arm],
  ]) {
    corners.moveTo(Math.round(x + dx), Math.round(y));
    corners.lineTo(Math.round(x), Math.round(y));
    corners.lineTo(Math.round(x), Math.round(y + dy));
  }
  pen.lineCap = "square";
  stroke(pen, corners);
}

function strokeLines(pen, lines, { x, y, width, height }) {
  const path = new Path2D();
  for (const [x0, y0, x1, y1] of lines) {
    path.moveTo(x + x0 * width, y + y0 * height);
    path.lineTo(x + x1 * width, y + y1 * height);
  }
  const inside = new Path2D();
  inside.rect(x, y, width, height);
  pen.clip(inside);
  pen.lineCap = "round";
  stroke(pen, path);
}

// White with black on either side: to be seen on any grey.
function stroke(pen, path) {
  for (const [colour, width] of [["#000", LINE + 2 * HALO], ["#fff", LINE]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.stroke(path);
  }
}
