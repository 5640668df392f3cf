// What is known of a photo's cells, and how hints spread on them (cic/colorize/hints.py, edges.py).

const ALIKE = [1.6, 60, 40], OWN = [0.6, 25, 16], VIVID = 20, FAR = 12, NOISE = 0.01, MEASURED = 150; // of hints.py
const EPSILON = 36; // of edges.py

/** x of a x = b for both columns of b, a symmetric and positive definite: Cholesky's way, in place. */
function solved(a, b) {
  const count = a.length;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i][j];
      for (let k = 0; k < j; k++) sum -= a[i][k] * a[j][k];
      a[i][j] = i === j ? Math.sqrt(sum) : sum / a[j][j];
    }
  }
  for (const channel of [0, 1]) {
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < i; k++) b[i][channel] -= a[i][k] * b[k][channel];
      b[i][channel] /= a[i][i];
    }
    for (let i = count - 1; i >= 0; i--) {
      for (let k = i + 1; k < count; k++) b[i][channel] -= a[k][i] * b[k][channel];
      b[i][channel] /= a[i][i];
    }
  }
  return b;
}

export class Cells {
  /** Of the size of a photo, its grid [rows, columns], the L and the unsureness of the cells. */
  constructor({ width, height, grid: [rows, columns], guided }, light, unsure) {
    Object.assign(this, { width, height, rows, columns, guided, light, unsure });
    this.mean = this.box((n) => light[n]);
    this.variance = this.box((n) => light[n] ** 2).map((square, n) => Math.max(square - this.mean[n] ** 2, 0));
    this.range = new Float32Array(2 * light.length);
    light.forEach((_, n) => {
      const near = [...this.nine(n)].map((m) => light[m]);
      this.range.set(guided ? [Math.min(...near), Math.max(...near)] : [0, 100], 2 * n);
    });
  }

  /** The cells around one, and itself; those at the border stand for what is beyond it. */
  *nine(n) {
    const row = Math.floor(n / this.columns), column = n % this.columns;
    for (let y = row - 1; y <= row + 1; y++) {
      for (let x = column - 1; x <= column + 1; x++) {
        yield Math.min(Math.max(y, 0), this.rows - 1) * this.columns + Math.min(Math.max(x, 0), this.columns - 1);
      }
    }
  }

  box(value) {
    const values = Float64Array.from(this.light, (_, n) => value(n)), sums = new Float64Array(values.length);
    const across = new Float64Array(values.length), last = this.columns - 1;
    for (let n = 0; n < values.length; n++) {
      const column = n % this.columns;
      across[n] = values[column ? n - 1 : n] + values[n] + values[column < last ? n + 1 : n];
    }
    for (let n = 0; n < values.length; n++) {
      const above = n < this.columns ? n : n - this.columns;
      const below = n + this.columns < values.length ? n + this.columns : n;
      sums[n] = (across[above] + across[n] + across[below]) / 9;
    }
    return sums;
  }

  /** Straight lines in L, (h, w, 4), of ab (h, w, 2): slopes of a and b, and their offsets. */
  lines(ab) {
    const { light, mean, variance } = this, lines = new Float32Array(2 * ab.length);
    for (const channel of [0, 1]) {
      let slope = new Float64Array(light.length);
      if (this.guided) {
        const colour = this.box((n) => ab[2 * n + channel]);
        const both = this.box((n) => light[n] * ab[2 * n + channel]);
        slope = this.box((n) => (both[n] - mean[n] * colour[n]) / (variance[n] + EPSILON));
      }
      for (let n = 0; n < light.length; n++) {
        lines[4 * n + channel] = slope[n];
        lines[4 * n + 2 + channel] = ab[2 * n + channel] - slope[n] * light[n];
      }
    }
    return lines;
  }

  /** The cell that a pixel of the photo lies in. */
  at({ x, y }) {
    return Math.floor((y * this.rows) / this.height) * this.columns + Math.floor((x * this.columns) / this.width);
  }

  /** ab (h, w, 2) as hints {x, y, ab, radius} want them. */
  follow(ab, hints) {
    if (!hints.length) return ab;
    const { light, unsure } = this, { places, wanted, points } = this.meant(hints);
    const stride = 1 + Math.floor(places.length / MEASURED);
    const some = places.map((_, k) => k).filter((k) => k < points || (k - points) % stride === 0);
    const measured = some.map((k) => places[k]), left = some.map((k) => this.left(ab, places[k], wanted[k]));
    const alike = this.squares(ab, ALIKE), own = this.squares(ab, OWN);
    const found = Float32Array.from(ab);
    this.move(found, measured, left.map((step) => step.map((value) => value * Math.min(1, FAR / Math.hypot(...step)))), (n, m) =>
      unsure[n] * unsure[m] * Math.exp(-Math.sqrt(alike(n, m))) + (ab[2 * n] * ab[2 * m] + ab[2 * n + 1] * ab[2 * m + 1]) / VIVID ** 2);
    this.move(found, measured, some.map((k) => this.left(found, places[k], wanted[k])), (n, m) => Math.exp(-own(n, m)));
    places.forEach((n, k) => found.set(wanted[k], 2 * n));
    return found;
  }

  /** What is left from the ab of a cell to those wanted. */
  left(ab, n, [a, b]) {
    return [a - ab[2 * n], b - ab[2 * n + 1]];
  }

  /** A function of two cells: how far apart they are in place, lightness and ab, squared. */
  squares(ab, [place, lightness, colour]) {
    const { light, columns } = this, short = Math.min(this.rows, columns) * place;
    return (n, m) => {
      const down = (Math.floor(n / columns) - Math.floor(m / columns)) / short;
      const across = ((n % columns) - (m % columns)) / short, lighter = (light[n] - light[m]) / lightness;
      const a = (ab[2 * n] - ab[2 * m]) / colour, b = (ab[2 * n + 1] - ab[2 * m + 1]) / colour;
      return down * down + across * across + lighter * lighter + a * a + b * b;
    };
  }

  /** Move all ab as those of the cells `places` are to move by `steps`, by how alike two cells are. */
  move(ab, places, steps, alike) {
    const between = places.map((n) => Float64Array.from(places, (m) => alike(n, m)));
    between.forEach((row, n) => (row[n] *= 1 + NOISE));
    const moves = solved(between, steps);
    for (let n = 0; n < this.light.length; n++) {
      for (let k = 0; k < places.length; k++) {
        const likeness = alike(n, places[k]);
        ab[2 * n] += likeness * moves[k][0];
        ab[2 * n + 1] += likeness * moves[k][1];
      }
    }
  }

  /** The cells that hints speak of, those of the `points` first, and the ab wanted there: of several the mean. */
  meant(hints) {
    const found = new Map(), high = this.height / this.rows, wide = this.width / this.columns;
    for (const hint of hints) found.set(this.at(hint), []);
    const points = found.size;
    const add = (cell, ab) => found.set(cell, [...(found.get(cell) ?? []), ab]);
    for (const hint of hints) {
      const here = this.at(hint);
      add(here, hint.ab);
      for (let n = 0; hint.radius && n < this.light.length; n++) {
        const down = (Math.floor(n / this.columns) + 0.5) * high - hint.y, across = ((n % this.columns) + 0.5) * wide - hint.x;
        if (n !== here && Math.hypot(down, across) <= hint.radius) add(n, hint.ab);
      }
    }
    const cells = [...found.keys()], places = [...cells.slice(0, points), ...cells.slice(points).sort((n, m) => n - m)];
    const mean = (all) => [0, 1].map((channel) => all.reduce((sum, ab) => sum + ab[channel], 0) / all.length);
    return { places, wanted: places.map((n) => mean(found.get(n))), points };
  }
}
