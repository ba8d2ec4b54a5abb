// Points drawn by the processor into an image: the same pixels on every machine, no graphics card asked.

const DISC = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]];
const within = (r, inside) => Array.from({ length: (2 * r + 1) ** 2 }, (_, i) => [(i % (2 * r + 1)) - r, Math.floor(i / (2 * r + 1)) - r]).filter(([x, y]) => inside(x, y));
const LARGE = within(2, (x, y) => x * x + y * y <= 4), HUGE = within(3, (x, y) => x * x + y * y <= 10);
// square, disc, triangle, diamond, in the order of the legend's marks and of about one size
const LARGES = [within(2, (x, y) => x < 2 && y < 2), within(2, (x, y) => x * x + y * y <= 5), within(2, (x, y) => 2 * Math.abs(x) <= y + 2), LARGE];
const HUGES = [within(3, (x, y) => x < 3 && y < 3), HUGE, within(3, (x, y) => 2 * Math.abs(x) <= y + 3), within(3, (x, y) => Math.abs(x) + Math.abs(y) <= 3)];

export class Splatter {
  constructor() { this.image = null; }

  // view: {scale, x, y} in pixels of the canvas for places 0 to 65535; grey: 1 where a point is context only; shaped: a shape for
  // each class, where dots are few enough to be seen as such
  draw(context, xy, codes, colours, grey, greyColour, count, view, ground, shaped = false) {
    const { width, height } = context.canvas;
    if (!this.image || this.image.width !== width || this.image.height !== height) this.image = context.createImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer), pack = ([r, g, b]) => (b << 16) | (g << 8) | r;
    pixels.fill(0xff000000 | pack(ground));
    const inView = count * Math.min(1, (width / (65535 * view.scale)) * (height / (65535 * view.scale)) * 1.5);
    const shape = inView < 4000 ? HUGE : inView < 40000 ? LARGE : DISC, shapes = !shaped || shape === DISC ? [shape] : shape === HUGE ? HUGES : LARGES;
    const strength = Math.round(inView < 4000 ? 235 : inView < 40000 ? 190 : Math.max(70, 160 - inView / 10000)), rest = 255 - strength;
    const forms = shapes.map((each) => Int32Array.from(each, ([x, y]) => y * width + x)), turn = forms.length - 1;
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
        const form = forms[c < last ? c & turn : turn & 1], size = form.length;
        for (let d = 0; d < size; d++) {
          const at = middle + form[d], old = pixels[at];
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
