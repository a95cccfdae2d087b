// The attention of the last 10 s: a column for each tenth of a second, now at the right.

const COLUMNS = 100;

export class Strip {
  #canvas;
  #colours;
  #paused;
  #drawn = "";

  constructor(canvas) {
    this.#canvas = canvas;
    this.recolour();
  }

  // The theme has changed.
  recolour() {
    this.#drawn = "";
    const style = getComputedStyle(this.#canvas);
    this.#colours = {
      low: style.getPropertyValue("--level"),
      high: style.getPropertyValue("--warm"),
      mark: style.getPropertyValue("--quiet"),
    };
    this.#paused = hatching(style.getPropertyValue("--stripe"));
  }

  // `values` are 0 to 1, null while the AI was paused; there may be fewer than 10 s of them.
  draw(values, threshold) {
    const drawn = `${threshold} ${values.join()}`;
    if (drawn === this.#drawn) return; // it changes ten times a second, pictures come more often
    this.#drawn = drawn;
    const canvas = this.#canvas;
    const dots = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * dots)) canvas.width = Math.round(width * dots);
    if (canvas.height !== Math.round(height * dots)) canvas.height = Math.round(height * dots);
    const pen = canvas.getContext("2d");
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, width, height);
    const last = values.slice(-COLUMNS);
    const missing = Array(COLUMNS - last.length).fill(null);
    const edge = (i) => Math.round((i * width * dots) / COLUMNS) / dots; // whole dots: no seams between columns
    [...missing, ...last].forEach((value, i) =>
      this.#column(pen, value, threshold, { x: edge(i), wide: edge(i + 1) - edge(i), height }),
    );
    if (threshold === null) return;
    pen.fillStyle = this.#colours.mark;
    for (let x = 0; x < width; x += 8) pen.fillRect(x, Math.round((1 - threshold) * height), 4, 1);
  }

  #column(pen, value, threshold, { x, wide, height }) {
    if (value === null) {
      pen.fillStyle = this.#paused;
      pen.fillRect(x, 0, wide, height);
      return;
    }
    const tall = Math.max(value * height, 1.5);
    pen.fillStyle = threshold !== null && value >= threshold ? this.#colours.high : this.#colours.low;
    pen.fillRect(x, height - tall, wide, tall);
  }
}

// The same hatching as on the rest of the page: here the AI says nothing.
function hatching(colour) {
  const side = 14;
  const tile = new OffscreenCanvas(side, side);
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - 2, side + 2);
    pen.lineTo(shift + side + 2, -2);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}
