// What is known of a photo's cells, and how hints spread on them (cic/colorize/hints.py, edges.py).

const PLACE = 1.6, LIGHT = 60, COLOUR = 40, VIVID = 20, NOISE = 0.01; // of hints.py
const EPSILON = 36; // of edges.py
const MOST = 2500; // cells that hints speak of: more would hold up the page for seconds

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
    const { places, wanted } = this.measured(hints), short = Math.min(this.rows, this.columns) * PLACE;
    const { light, unsure, columns } = this;
    const alike = (n, m) => {
      const down = (Math.floor(n / columns) - Math.floor(m / columns)) / short;
      const across = ((n % columns) - (m % columns)) / short, lighter = (light[n] - light[m]) / LIGHT;
      const a = (ab[2 * n] - ab[2 * m]) / COLOUR, b = (ab[2 * n + 1] - ab[2 * m + 1]) / COLOUR;
      const apart = Math.sqrt(down * down + across * across + lighter * lighter + a * a + b * b);
      return unsure[n] * unsure[m] * Math.exp(-apart) + (ab[2 * n] * ab[2 * m] + ab[2 * n + 1] * ab[2 * m + 1]) / VIVID ** 2;
    };
    const between = places.map((n) => Float64Array.from(places, (m) => alike(n, m)));
    between.forEach((row, n) => (row[n] *= 1 + NOISE));
    const moves = solved(between, wanted.map(([a, b], n) => [a - ab[2 * places[n]], b - ab[2 * places[n] + 1]]));
    const found = Float32Array.from(ab);
    for (let n = 0; n < light.length; n++) {
      for (let k = 0; k < places.length; k++) {
        const likeness = alike(n, places[k]);
        found[2 * n] += likeness * moves[k][0];
        found[2 * n + 1] += likeness * moves[k][1];
      }
    }
    return found;
  }

  /** Whether the page follows so many hints at once. */
  takes(hints) {
    return this.measured(hints).places.length <= MOST;
  }

  /** The cells that hints speak of, and the ab that they want there: of several the mean. */
  measured(hints) {
    const found = new Map(), high = this.height / this.rows, wide = this.width / this.columns;
    const add = (cell, ab) => found.set(cell, [...(found.get(cell) ?? []), ab]);
    for (const hint of hints) {
      const here = this.at(hint);
      add(here, hint.ab);
      for (let n = 0; hint.radius && n < this.light.length; n++) {
        const down = (Math.floor(n / this.columns) + 0.5) * high - hint.y, across = ((n % this.columns) + 0.5) * wide - hint.x;
        if (n !== here && Math.hypot(down, across) <= hint.radius) add(n, hint.ab);
      }
    }
    const mean = (all) => [0, 1].map((channel) => all.reduce((sum, ab) => sum + ab[channel], 0) / all.length);
    return { places: [...found.keys()], wanted: [...found.values()].map(mean) };
  }
}
