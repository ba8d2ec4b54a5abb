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
    const pixels = new Uint32Array(this.image.data.buffer);
    const pack = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;
    pixels.fill(pack(ground));
    const inView = count * Math.min(1, (width / (65535 * view.scale)) * (height / (65535 * view.scale)) * 1.5);
    const disc = inView < 4000 ? HUGE : inView < 40000 ? LARGE : DISC;
    const strength = inView < 4000 ? 235 : inView < 40000 ? 190 : Math.max(70, 160 - inView / 10000);
    for (let pass = 0; pass < 2; pass++) {  // context first, so that it never covers what is asked for
      for (let i = 0; i < count; i++) {
        if ((grey && grey[i] ? 0 : 1) !== pass) continue;
        const px = (xy[2 * i] * view.scale + view.x) | 0, py = (xy[2 * i + 1] * view.scale + view.y) | 0;
        if (px < 3 || py < 3 || px >= width - 3 || py >= height - 3) continue;
        const c = pass ? colours[Math.min(codes ? codes[i] : 0, colours.length - 1)] : greyColour;
        for (let d = 0; d < disc.length; d++) {
          const at = (py + disc[d][1]) * width + px + disc[d][0], old = pixels[at], a = strength, b = 255 - a;
          pixels[at] = 0xff000000 | ((((old >> 16 & 255) * b + c[2] * a) >> 8) << 16) | ((((old >> 8 & 255) * b + c[1] * a) >> 8) << 8) | (((old & 255) * b + c[0] * a) >> 8);
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
