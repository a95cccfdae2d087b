// Lines of equal saliency (marching squares), in fractions of the model's input.

const CELLS = [
  [], [[3, 2]], [[2, 1]], [[3, 1]], [[0, 1]], [[0, 3], [2, 1]], [[0, 2]], [[0, 3]],
  [[0, 3]], [[0, 2]], [[0, 1], [3, 2]], [[0, 1]], [[3, 1]], [[2, 1]], [[3, 2]], [],
]; // edges that a line joins: 0 top, 1 right, 2 bottom, 3 left; corners count 8 4 / 1 2

// Segments [x0, y0, x1, y1]. Values lie at the cells' middles; around the map there is none, so that every line closes.
export function contours(values, rows, columns, level) {
  const at = (row, column) =>
    row < 0 || column < 0 || row >= rows || column >= columns ? 0 : values[row * columns + column];
  const segments = [];
  for (let row = -1; row < rows; row += 1) {
    for (let column = -1; column < columns; column += 1) {
      const corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
      const [a, b, c, d] = corners;
      const kind = 8 * (a >= level) + 4 * (b >= level) + 2 * (c >= level) + (d >= level);
      const edges = [
        () => [column + part(a, b, level), row],
        () => [column + 1, row + part(b, c, level)],
        () => [column + part(d, c, level), row + 1],
        () => [column, row + part(a, d, level)],
      ];
      for (const [from, to] of CELLS[kind]) segments.push([...edges[from](), ...edges[to]()]);
    }
  }
  const inX = (x) => (x + 0.5) / columns;
  const inY = (y) => (y + 0.5) / rows;
  return segments.map(([x0, y0, x1, y1]) => [inX(x0), inY(y0), inX(x1), inY(y1)]);
}

const part = (from, to, level) => (level - from) / (to - from);

// From the model's input to the picture, both in fractions; `place` is where the picture lies in the input.
export const toPicture = ([x, y, width, height]) => ([x0, y0, x1, y1]) => [
  (x0 - x) / width, (y0 - y) / height, (x1 - x) / width, (y1 - y) / height,
];
