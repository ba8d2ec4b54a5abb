// Points drawn by the processor into an image: the same pixels on every machine, no graphics card asked.

const DISC = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]];
const LARGE = [...DISC, [1, 1], [-1, 1], [1, -1], [-1, -1], [2, 0], [-2, 0], [0, 2], [0, -2]];
const HUGE = [];
for (let y = -3; y <= 3; y++) for (let x = -3; x <= 3; x++) if (x * x + y * y <= 10) HUGE.push([x, y]);

export class Splatter {
  constructor() { this.image = null; }

  // view: {scale, x, y} in pixels of the canvas for places 0 to 65535; grey: 1 where a point is context only
  draw(context, xy, codes, colours, grey, greyColour, count, view, ground) {
    const { width, height } = context.canvas;
    if (!this.image || this.image.width !== width || this.image.height !== height) this.image = context.createImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer), pack = ([r, g, b]) => (b << 16) | (g << 8) | r;
    pixels.fill(0xff000000 | pack(ground));
    const inView = count * Math.min(1, (width / (65535 * view.scale)) * (height / (65535 * view.scale)) * 1.5);
    const shape = inView < 4000 ? HUGE : inView < 40000 ? LARGE : DISC;
    const strength = Math.round(inView < 4000 ? 235 : inView < 40000 ? 190 : Math.max(70, 160 - inView / 10000)), rest = 255 - strength;
    const disc = Int32Array.from(shape, ([x, y]) => y * width + x), size = disc.length;
    // red and blue are mixed at once, 16 bits apart; what a colour adds is the same for all its points
    const both = Uint32Array.from(colours, (c) => (pack(c) & 0xff00ff) * strength), green = Uint32Array.from(colours, (c) => c[1] * strength);
    const greyBoth = (pack(greyColour) & 0xff00ff) * strength, greyGreen = greyColour[1] * strength, last = colours.length - 1;
    const { scale, x, y } = view, right = width - 3, low = height - 3;
    for (let pass = grey ? 0 : 1; pass < 2; pass++) {  // context first, so that it never covers what is asked for
      for (let i = 0; i < count; i++) {
        if (grey && (grey[i] ? 0 : 1) !== pass) continue;
        const px = (xy[2 * i] * scale + x) | 0, py = (xy[2 * i + 1] * scale + y) | 0;
        if (px < 3 || py < 3 || px >= right || py >= low) continue;
        const code = codes ? codes[i] : 0, c = code < last ? code : last;
        const rb = pass ? both[c] : greyBoth, g = pass ? green[c] : greyGreen, middle = py * width + px;
        for (let d = 0; d < size; d++) {
          const at = middle + disc[d], old = pixels[at];
          pixels[at] = 0xff000000 | (((Math.imul(old & 0xff00ff, rest) + rb) >>> 8) & 0xff00ff) | (((((old >>> 8) & 255) * rest + g) & 0xff00));
        }
      }
    }
    context.putImageData(this.image, 0, 0);
  }
}

export class Grid {  // to find the point under the pointer
  constructor(xy, count, cells = 128) {
    this.cells = cells; this.xy = xy; this.start = new Uint32Array(cells * cells + 1); this.items = new Uint32Array(count);
    const at = (i) => ((xy[2 * i + 1] * cells) >> 16) * cells + ((xy[2 * i] * cells) >> 16);
    for (let i = 0; i < count; i++) this.start[at(i) + 1]++;
    for (let c = 0; c < cells * cells; c++) this.start[c + 1] += this.start[c];
    const next = this.start.slice();
    for (let i = 0; i < count; i++) this.items[next[at(i)]++] = i;
  }

  nearest(x, y, reach, wanted) {  // in places; -1 where there is none
    let best = reach * reach, found = -1;
    this.within(x - reach, y - reach, x + reach, y + reach, (i) => {
      const d = (this.xy[2 * i] - x) ** 2 + (this.xy[2 * i + 1] - y) ** 2;
      if (d <= best && (!wanted || wanted(i))) { best = d; found = i; }
    });
    return found;
  }

  within(x0, y0, x1, y1, call) {
    const cell = (v) => Math.min(Math.max(Math.floor((v * this.cells) / 65536), 0), this.cells - 1);
    for (let cy = cell(y0); cy <= cell(y1); cy++) for (let cx = cell(x0); cx <= cell(x1); cx++)
      for (let k = this.start[cy * this.cells + cx]; k < this.start[cy * this.cells + cx + 1]; k++) call(this.items[k]);
  }
}
