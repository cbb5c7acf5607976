// Draws or takes an image, sends it to POST predict, and shows the answer. All text is set as text, never as HTML.
'use strict';

const MOST_BARS = 10;

const of = (id) => document.getElementById(id);
const board = of('board');
const pen = board.getContext('2d', {willReadFrequently: true});

let model;            // what model.json says
let source = null;    // what is predicted: 'drawing', a file, or nothing
let asked = 0;        // number of the newest request, whose answer is shown

function clear() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, board.width, board.height);
}

function say(text, wrong = false) {
  of('answer').textContent = text;
  of('answer').classList.toggle('error', wrong);
  of('doubt').textContent = '';
  of('bars').replaceChildren();
  of('figure').hidden = true;
}

function forget() {
  clear();
  source = null;
  asked += 1;
  say(model.draw ? 'Draw something, or drop an image.' : 'Drop an image.');
}

function canvasOf(width, height) {
  const made = document.createElement('canvas');
  made.width = width;
  made.height = height;
  const context = made.getContext('2d', {willReadFrequently: true});
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  return [made, context];
}

// The box around what is drawn: [x, y, width, height]; null: nothing is.
function boxOf() {
  const {data} = pen.getImageData(0, 0, board.width, board.height);
  let [left, top, right, bottom] = [board.width, board.height, -1, -1];
  for (let y = 0; y < board.height; y += 1) {
    for (let x = 0; x < board.width; x += 1) {
      if (data[4 * (y * board.width + x)] < 32) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
  }
  return right < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
}

// The drawing in the size of the model's input. For MNIST as its digits were made: scaled into 20x20 of 28x28 pixels, and
// moved so that the centre of mass is in the middle.
function drawing() {
  const {width, height} = model;
  const [small, context] = canvasOf(width, height);
  if (!model.centred) {
    context.drawImage(board, 0, 0, width, height);
    return small;
  }
  const box = boxOf();
  if (!box) return small;
  const scale = (20 / 28) * Math.min(width, height) / Math.max(box[2], box[3]);
  const size = [Math.max(1, Math.round(box[2] * scale)), Math.max(1, Math.round(box[3] * scale))];
  const [scaled, inside] = canvasOf(...size);
  inside.drawImage(board, ...box, 0, 0, ...size);
  const {data} = inside.getImageData(0, 0, ...size);
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < size[0] * size[1]; i += 1) {
    mass += data[4 * i];
    x += data[4 * i] * (i % size[0] + 0.5);
    y += data[4 * i] * (Math.floor(i / size[0]) + 0.5);
  }
  context.drawImage(scaled, Math.round(width / 2 - x / mass), Math.round(height / 2 - y / mass));
  return small;
}

async function predict() {
  if (!source) return;
  asked += 1;
  const mine = asked;
  let body = source;
  if (source === 'drawing') body = await new Promise((done) => drawing().toBlob(done, 'image/png'));
  const invert = of('invert').checked ? '&invert=1' : '';
  let answer;
  try {
    if (body.size > model.most_bytes) throw new Error(`the file has more than ${model.most_bytes.toLocaleString()} bytes`);
    const response = await fetch(`predict?seen=1${invert}`, {method: 'POST', body});
    answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
  } catch (error) {
    if (mine === asked) say(error instanceof TypeError ? 'the server does not answer' : error.message, true);
    return;
  }
  if (mine === asked) show(answer);
}

function show(answer) {
  const [best] = answer.classes;
  say(`${best.name}  (${best.probability.toFixed(3)})`);
  const doubt = answer.unsure.length ? `Unsure: it could also be ${answer.unsure.join(', ')}.` : '';
  const bright = answer.bright_background && !of('invert').checked
    ? ` The background is bright, and that of ${model.dataset} is black: invert it?` : '';
  of('doubt').textContent = doubt + bright;
  const few = model.class_names.length <= MOST_BARS;
  const shown = answer.classes.slice(0, MOST_BARS);
  if (few) shown.sort((a, b) => model.class_names.indexOf(a.name) - model.class_names.indexOf(b.name));
  of('bars').replaceChildren(...shown.map((one) => bar(one, one.name === best.name)));
  of('bars').classList.toggle('short', model.class_names.every((name) => name.length <= 2));
  of('seen').src = answer.seen;
  const changes = source === 'drawing' && model.centred
    ? ['scaled and centred as the digits of MNIST are'] : answer.changes;
  of('changes').textContent = ['What the model is given', changes.join(', ')].filter(Boolean).join(': ');
  of('figure').hidden = false;
}

function bar({name, probability}, best) {
  const row = document.createElement('li');
  row.classList.toggle('best', best);
  const label = document.createElement('span');
  label.className = 'name';
  label.textContent = name;
  label.title = name;
  const progress = document.createElement('progress');
  progress.max = 1;
  progress.value = probability;
  const number = document.createElement('span');
  number.className = 'number';
  number.textContent = probability.toFixed(3);
  row.append(label, progress, number);
  return row;
}

function take(file) {
  if (!file) return;
  clear();
  source = file;
  predict();
}

function listen() {
  let last = null;
  const at = (event) => {
    const place = board.getBoundingClientRect();
    return [(event.clientX - place.left) * board.width / place.width, (event.clientY - place.top) * board.height / place.height];
  };
  const stroke = (event) => {
    const now = at(event);
    pen.strokeStyle = '#fff';
    pen.lineWidth = model.pen * board.width;
    pen.lineCap = 'round';
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...now);
    pen.stroke();
    last = now;
  };
  board.addEventListener('pointerdown', (event) => {
    if (event.button) return;
    if (source !== 'drawing') forget();
    source = 'drawing';
    board.setPointerCapture(event.pointerId);
    last = at(event);
    stroke(event);
  });
  board.addEventListener('pointermove', (event) => { if (last) stroke(event); });
  for (const end of ['pointerup', 'pointercancel']) {
    board.addEventListener(end, () => {
      if (!last) return;
      last = null;
      predict();
    });
  }
  of('clear').addEventListener('click', () => forget());
  of('invert').addEventListener('change', predict);
  const drop = of('drop');
  drop.addEventListener('click', () => of('file').click());
  drop.addEventListener('keydown', (event) => { if (event.key === 'Enter' || event.key === ' ') of('file').click(); });
  of('file').addEventListener('change', () => { take(of('file').files[0]); of('file').value = ''; });
  document.addEventListener('paste', (event) => take(event.clipboardData.files[0]));
  for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', name === 'dragenter' || name === 'dragover');
      if (name === 'drop') take(event.dataTransfer.files[0]);
    });
  }
}

async function start() {
  model = await (await fetch('model.json')).json();
  document.title = `${model.dataset} - seedwise`;
  of('title').textContent = model.dataset;
  of('about').textContent = `${model.model}, ${model.class_names.length} classes, images of ${model.height}x${model.width}`;
  board.hidden = !model.draw;
  board.height = Math.round(board.width * model.height / model.width);
  forget();
  listen();
}

start();
