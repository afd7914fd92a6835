"use strict";
// Runs the networks of this page, which `page` holds: see page.py. `page.run(sample)` and `page.scores(samples)` are for tests, too.

const at = id => document.getElementById(id);
const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const made = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

// The engine, and networks that it has opened. What it refuses is an Error that ends it: nothing is left of its memory.
class Engine {
  static async compiled() {
    const packed = new Blob([bytesOf(page.engine)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return WebAssembly.compile(await new Response(packed).arrayBuffer());
  }

  constructor(module) {
    // The little of a system that the C library asks for: there is no environment, no file and no argument.
    const system = {environ_sizes_get: (count, size) => { this.numbers(Uint32Array, count, 1)[0] = this.numbers(Uint32Array, size, 1)[0] = 0; return 0; }};
    const wasi = new Proxy(system, {get: (own, name) => own[name] ?? (name === "proc_exit" ? () => { throw new Error("the engine stopped"); } : () => 8)});  // EBADF: nothing is open
    const imports = {
      page: {
        fail: (text, length) => { throw new Error(new TextDecoder().decode(this.numbers(Uint8Array, text, length))); },
        visit: (name, type, count, numbers) => this.visit(name, type, count, numbers),
      },
    };
    for (const {module: from, name} of WebAssembly.Module.imports(module)) if (from !== "page") (imports[from] ??= {})[name] = wasi[name];
    this.calls = new WebAssembly.Instance(module, imports).exports;
    this.calls._initialize?.();
  }

  numbers(Kind, place, count) { return new Kind(this.calls.memory.buffer, place, count); }

  text(place) {
    const all = new Uint8Array(this.calls.memory.buffer, place);
    return new TextDecoder().decode(all.subarray(0, all.indexOf(0)));
  }

  // A place with these numbers, or for so many bytes.
  room(numbers) {
    const place = this.calls.room(numbers.byteLength);
    if (place === 0) throw new Error("this device lacks the memory");
    this.numbers(Uint8Array, place, numbers.byteLength).set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
    return place;
  }

  open(content, traced) {
    const place = this.room(content);
    const program = this.calls.open(place, content.byteLength, traced ? 1 : 0);
    this.calls.free(place);
    return program;
  }

  // Scores of samples that lie one behind another.
  run(program, samples, rows = 1) {
    const outputs = this.calls.outputs(program), x = this.room(samples), y = this.calls.room(4 * rows * outputs);
    this.calls.run(program, rows, x, y);
    const scores = this.numbers(Float32Array, y, rows * outputs).slice();
    this.calls.free(x), this.calls.free(y);
    return scores;
  }

  // Milliseconds of a call: the best of some turns, each as long as a coarse clock can tell.
  time(program, sample) {
    const x = this.room(sample), y = this.calls.room(4 * this.calls.outputs(program));
    let best = Infinity, calls = 1;
    for (let turn = 0; turn < 5;) {
      const start = performance.now();
      for (let call = 0; call < calls; ++call) this.calls.run(program, 1, x, y);
      const took = performance.now() - start;
      if (took < 4 && calls < 1e6) { calls *= 2; continue; }
      best = Math.min(best, took / calls), ++turn;
    }
    this.calls.free(x), this.calls.free(y);
    return best;
  }

  // Codes by the name of the value that has them.
  trace(program, sample) {
    const found = new Map(), x = this.room(sample);
    this.visit = (name, type, count, numbers) => {
      if (type === 4) found.set(this.text(name), this.numbers(Uint8Array, numbers, count).slice());  // LOWBIT_UINT8: codes
    };
    this.calls.trace(program, x);
    this.calls.free(x);
    return found;
  }
}

// As lowbit.scores: what are probabilities already stay so.
function probabilities(scores) {
  const all = Array.from(scores), sum = all.reduce((a, b) => a + b, 0);
  if (all.every(score => score >= 0) && Math.abs(sum - 1) < 1e-3) return all;
  const most = Math.max(...all), powers = all.map(score => Math.exp(score - most));
  const whole = powers.reduce((a, b) => a + b, 0);
  return powers.map(power => power / whole);
}

const largest = numbers => numbers.indexOf(Math.max(...numbers));
const percent = share => `${(100 * share).toFixed(1)} %`;
const duration = time => time < 0.1 ? `${(1000 * time).toFixed(1)} µs` : `${time.toFixed(2)} ms`;

let module, engine, opened, traced;
let timer = 0;

function restart() {
  engine = new Engine(module);
  opened = page.networks.map(network => engine.open(bytesOf(network.program), false));
  try {
    traced = engine.open(bytesOf(page.networks[0].program), true);
  } catch (error) {  // no path of planes: the network itself runs all the same
    engine = new Engine(module), traced = undefined;
    opened = page.networks.map(network => engine.open(bytesOf(network.program), false));
  }
}

function attempt(work) {
  at("error").textContent = "";
  try {
    return work();
  } catch (error) {
    at("error").textContent = error.message;
    restart();
  }
}

// Everything of one sample; the page shows it.
page.run = sample => attempt(() => {
  const shares = opened.map(program => probabilities(engine.run(program, sample)));
  showScores(shares);
  showCodes(traced === undefined ? new Map() : engine.trace(traced, sample));
  clearTimeout(timer);
  timer = setTimeout(() => attempt(() => showTimes(opened.map(program => engine.time(program, sample)))), 30);
  return shares;
});

// The scores of many samples that lie one behind another, of the network with this number.
page.scores = (samples, number = 0) => {
  const features = page.input.features;
  return Array.from({length: samples.length / features}, (_, n) =>
    Array.from(engine.run(opened[number], samples.slice(n * features, (n + 1) * features))));
};

function showScores(shares) {
  const table = made("table"), head = made("tr");
  for (const text of ["class", ...page.networks.map(network => network.called)]) head.append(made("th", text));
  table.append(made("thead")), table.firstChild.append(head);
  const body = made("tbody"), order = page.classes.map((_, n) => n);
  if (order.length > 20) order.sort((a, b) => shares[0][b] - shares[0][a]), order.length = 20;
  for (const n of order) {
    const row = made("tr", undefined, n === largest(shares[0]) ? "best" : "");
    row.append(made("th", page.classes[n]));
    shares.forEach((share, which) => {
      const cell = made("td"), track = made("span", undefined, "track"), fill = made("span", undefined, which ? "fill second" : "fill");
      fill.style.width = `${100 * share[n]}%`;
      track.append(fill), cell.append(track, made("span", percent(share[n]), "value")), row.append(cell);
    });
    body.append(row);
  }
  table.append(body), at("scores").replaceChildren(table);
}

function showTimes(times) {
  const parts = page.networks.map((network, n) => `${network.called} ${duration(times[n])}`);
  at("times").textContent = `Time of a call here, one thread: ${parts.join(", ")}.`;
}

function showCodes(found) {
  const cards = [];
  for (const [name, codes] of found) {
    const about = page.values[name];
    if (about === undefined) continue;
    const card = made("div", undefined, "card"), drawing = made("canvas");
    drawCodes(drawing, codes, about);
    drawing.setAttribute("role", "img"), drawing.setAttribute("aria-label", `codes of ${name}`);
    const text = about.shape.length > 1 ? about.shape.join(" × ") : `${codes.length}`;
    card.append(made("h3", name), drawing, made("p", `${text} numbers, ${about.codes} codes`));
    cards.push(card);
  }
  at("codes").replaceChildren(...cards);
  at("about-codes").hidden = cards.length === 0;
}

// Maps lie beside each other, channel by channel; a row becomes lines.
function drawCodes(canvas, codes, {shape, codes: count}) {
  const map = shape.length === 3, seen = codes.length === page.input.features ? page.input.picture : null;
  const [channels, height, width] = map ? shape : [1, 0, seen ? seen[2] : Math.min(codes.length, Math.max(10, Math.ceil(Math.sqrt(2 * codes.length))))];
  const rows = map ? height : Math.ceil(codes.length / width), across = map ? Math.max(1, Math.floor(100 / (width + 1))) : 1;
  canvas.width = map ? Math.min(channels, across) * (width + 1) : width;
  canvas.height = map ? Math.ceil(channels / across) * (height + 1) : rows;
  canvas.style.width = `${Math.min(300, 8 * canvas.width)}px`;
  const picture = canvas.getContext("2d"), image = picture.createImageData(canvas.width, canvas.height);
  const [red, green, blue] = getComputedStyle(document.querySelector(".lowbit")).getPropertyValue("--accent").match(/\w\w/g).map(part => parseInt(part, 16));
  codes.forEach((code, n) => {
    const channel = map ? Math.floor(n / (height * width)) : 0, inside = map ? n % (height * width) : n;
    const x = (map ? (channel % across) * (width + 1) : 0) + inside % width, y = (map ? Math.floor(channel / across) * (height + 1) : 0) + Math.floor(inside / width);
    image.data.set([red, green, blue, 25 + Math.round(230 * code / (count - 1))], 4 * (y * canvas.width + x));
  });
  picture.putImageData(image, 0, 0);
}

// Of a canvas of the network's size, as the network takes it.
function numbersOf(pixels, [channels, height, width]) {
  const area = height * width, numbers = new Float32Array(channels * area);
  const {means, deviations, channels_last: last} = page.input;
  for (let n = 0; n < area; ++n) {
    const [red, green, blue] = pixels.slice(4 * n, 4 * n + 3);
    const colours = channels === 3 ? [red, green, blue] : [Math.round((299 * red + 587 * green + 114 * blue) / 1000)];
    colours.forEach((colour, c) => {
      const value = (colour / 255 - means[c % means.length]) / deviations[c % deviations.length];
      numbers[last ? n * channels + c : c * area + n] = value;
    });
  }
  return numbers;
}

// By halves, so that every pixel counts.
function shrunk(source, from, width, height) {
  let [x, y, w, h] = from;
  while (w >= 2 * width && h >= 2 * height) {
    const half = new OffscreenCanvas(Math.ceil(w / 2), Math.ceil(h / 2));
    half.getContext("2d").drawImage(source, x, y, w, h, 0, 0, half.width, half.height);
    source = half, x = y = 0, w = half.width, h = half.height;
  }
  return [source, x, y, w, h];
}

// The middle of a picture in the network's proportions.
function middle(width, height, [, high, wide]) {
  const scale = Math.min(width / wide, height / high), w = wide * scale, h = high * scale;
  return [(width - w) / 2, (height - h) / 2, w, h];
}

// What is drawn: its box in the middle 20 of 28 pixels, its centre of mass in the centre, as MNIST's pictures were made. Small pictures
// have no such edge.
function centred(source, [, high, wide]) {
  const {width, height} = source, pixels = source.getContext("2d").getImageData(0, 0, width, height).data;
  let left = width, right = -1, top = height, bottom = -1, mass = 0, sumX = 0, sumY = 0;
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      const ink = pixels[4 * (y * width + x)];
      if (ink === 0) continue;
      left = Math.min(left, x), right = Math.max(right, x), top = Math.min(top, y), bottom = Math.max(bottom, y);
      mass += ink, sumX += ink * x, sumY += ink * y;
    }
  }
  if (mass === 0) return [0, 0, width, height];
  const share = Math.min(high, wide) < 16 ? 1 : 20 / 28;
  const scale = Math.max((right - left + 1) / wide, (bottom - top + 1) / high) / share, w = wide * scale, h = high * scale;
  const [x, y] = share < 1 ? [sumX / mass, sumY / mass] : [(left + right + 1) / 2, (top + bottom + 1) / 2];
  return [x - w / 2, y - h / 2, w, h];
}

function look(source, from) {
  const [, height, width] = page.input.picture, seen = at("seen").getContext("2d", {willReadFrequently: true});
  // A part may reach over the edge, which is black; so is what is transparent.
  const part = new OffscreenCanvas(Math.max(1, Math.round(from[2])), Math.max(1, Math.round(from[3]))), inner = part.getContext("2d");
  inner.fillRect(0, 0, part.width, part.height);
  inner.drawImage(source, -from[0], -from[1]);
  seen.imageSmoothingQuality = "high";
  seen.drawImage(...shrunk(part, [0, 0, part.width, part.height], width, height), 0, 0, width, height);
  if (at("invert").checked) {
    const image = seen.getImageData(0, 0, width, height);
    image.data.forEach((value, n) => { if (n % 4 !== 3) image.data[n] = 255 - value; });
    seen.putImageData(image, 0, 0);
  }
  page.run(numbersOf(seen.getImageData(0, 0, width, height).data, page.input.picture));
}

function drawable() {
  const canvas = at("drawing"), pen = canvas.getContext("2d", {willReadFrequently: true});
  const place = event => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.x) * canvas.width / box.width, (event.clientY - box.y) * canvas.height / box.height]; };
  const clear = () => { pen.fillStyle = "#000", pen.fillRect(0, 0, canvas.width, canvas.height); };
  let last, photograph, waiting = false;
  const show = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (photograph) return look(photograph, middle(photograph.width, photograph.height, page.input.picture));
      look(canvas, at("centre").checked ? centred(canvas, page.input.picture) : middle(canvas.width, canvas.height, page.input.picture));
    });
  };
  canvas.addEventListener("pointerdown", event => {
    if (photograph) photograph = undefined, clear();
    canvas.setPointerCapture(event.pointerId), last = place(event);
  });
  canvas.addEventListener("pointermove", event => {
    if (last === undefined) return;
    const next = place(event);
    pen.lineWidth = 22, pen.lineCap = pen.lineJoin = "round", pen.strokeStyle = "#fff";
    pen.beginPath(), pen.moveTo(...last), pen.lineTo(...next), pen.stroke();
    last = next, show();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = undefined; });
  at("clear").addEventListener("click", () => { photograph = undefined, at("file").value = "", clear(), show(); });
  for (const id of ["invert", "centre"]) at(id).addEventListener("change", show);
  at("file").addEventListener("change", async () => {
    const [file] = at("file").files;
    if (file === undefined) return;
    try {
      photograph = await createImageBitmap(file);
    } catch {
      at("error").textContent = `${file.name} is no picture that this browser reads.`;
      return;
    }
    clear();
    const [x, y, w, h] = middle(photograph.width, photograph.height, page.input.picture);
    pen.drawImage(photograph, x, y, w, h, 0, 0, canvas.width, canvas.height), show();
  });
  clear(), show();
}

function writable() {
  at("run").addEventListener("click", () => {
    const numbers = at("numbers").value.split(/[\s,;]+/).filter(Boolean).map(Number);
    if (numbers.length !== page.input.features || !numbers.every(Number.isFinite)) {
      at("error").textContent = `expected ${page.input.features} numbers; found ${numbers.length}${numbers.every(Number.isFinite) ? "" : ", some of which are none"}`;
      return;
    }
    page.run(Float32Array.from(numbers));
  });
  at("numbers").value = Array(page.input.features).fill(0).join(", ");
  page.run(new Float32Array(page.input.features));
}

page.ready = (async () => {
  module = await Engine.compiled();
  restart();
  page.input.picture ? drawable() : writable();
})().catch(error => { at("error").textContent = `The engine does not start in this browser: ${error.message}`; });
