// marks.js: pictures of dots, counts and labels for the map, drawn here: the map needs no fonts and no other files.

const RATIO = 2;
const PATHS = {
  circle: (c, s) => c.arc(0, 0, s, 0, 2 * Math.PI),
  square: (c, s) => c.rect(-s * 0.9, -s * 0.9, s * 1.8, s * 1.8),
  triangle: (c, s) => drawPolygon(c, [[0, -s * 1.15], [s * 1.1, s * 0.85], [-s * 1.1, s * 0.85]]),
  inverted_triangle: (c, s) => drawPolygon(c, [[0, s * 1.15], [s * 1.1, -s * 0.85], [-s * 1.1, -s * 0.85]]),
  diamond: (c, s) => drawPolygon(c, [[0, -s * 1.3], [s * 1.05, 0], [0, s * 1.3], [-s * 1.05, 0]]),
  hex: (c, s) => drawPolygon(c, [0, 1, 2, 3, 4, 5].map((i) => [s * 1.1 * Math.cos((i * Math.PI) / 3), s * 1.1 * Math.sin((i * Math.PI) / 3)])),
  star: (c, s) => drawPolygon(c, [...Array(10).keys()].map((i) => {
    const radius = i % 2 ? s * 0.55 : s * 1.35;
    return [radius * Math.sin((i * Math.PI) / 5), -radius * Math.cos((i * Math.PI) / 5)];
  })),
  plus: (c, s) => drawPolygon(c, [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]].map(([x, y]) => [x * s, y * s])),
};

function drawPolygon(context, points) {
  context.moveTo(...points[0]);
  points.slice(1).forEach((point) => context.lineTo(...point));
  context.closePath();
}

function openCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * RATIO);
  canvas.height = Math.ceil(height * RATIO);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.scale(RATIO, RATIO);
  return [canvas, context];
}

function readImage(canvas, context) {
  return { image: context.getImageData(0, 0, canvas.width, canvas.height), pixelRatio: RATIO };
}

function traceMarker(context, marker, size) {
  context.beginPath();
  (PATHS[marker] || PATHS.circle)(context, size);
}

function paintMarker(context, colour, marker, size, isHollow) {
  traceMarker(context, marker, size);
  context.lineWidth = isHollow ? 4 : 2.5;
  context.strokeStyle = "#ffffff";
  context.stroke();
  context.fillStyle = isHollow ? "#ffffff" : colour;
  context.fill();
  context.lineWidth = isHollow ? 2 : 0.7;
  context.strokeStyle = isHollow ? colour : "#1a1a1a";
  context.stroke();
}

/** Draw a dot: its marker says the kind as well as its colour does; that of a raster is hollow. */
export function drawDot(colour, marker, size = 4.5, isHollow = false) {
  const [canvas, context] = openCanvas(18, 18);
  context.translate(9, 9);
  paintMarker(context, colour, marker, size, isHollow);
  return readImage(canvas, context);
}

/** Draw a count: larger for more objects, with the colour and the marker of the most frequent kind; square for rasters. */
export function drawCount(label, { colour, marker }, isSquare, weight) {
  const radius = 11 + 2.6 * Math.min(weight, 6);
  const side = 2 * radius + 12;
  const [canvas, context] = openCanvas(side, side);
  context.translate(side / 2, side / 2);
  traceMarker(context, isSquare ? "square" : "circle", radius);
  context.fillStyle = "#ffffffe6";
  context.fill();
  context.lineWidth = 3.5;
  context.strokeStyle = colour;
  context.stroke();
  context.fillStyle = "#1a1a1a";
  context.font = `600 ${label.length > 4 ? 10 : 11.5}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(label, 0, 0.5);
  context.translate(0, -radius + 1);
  paintMarker(context, colour, marker, 3.2, isSquare);
  return readImage(canvas, context);
}

/** Draw the label of a line of the graticule. */
export function drawText(text) {
  const [canvas, context] = openCanvas(8 + 6.4 * text.length, 14);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.lineWidth = 3;
  context.strokeStyle = "#f7f9fb";
  context.strokeText(text, canvas.width / RATIO / 2, 7.5);
  context.fillStyle = "#5b6670";
  context.fillText(text, canvas.width / RATIO / 2, 7.5);
  return readImage(canvas, context);
}

/** Return an element that shows a kind in legends and lists: its dot, and its outline: that of a raster is hollow and thicker. */
export function makeSwatch(style, isRaster = false) {
  const [canvas, context] = openCanvas(44, 18);
  canvas.className = "swatch";
  canvas.setAttribute("aria-hidden", "true");
  const width = isRaster ? 2.2 : 1.3;
  context.fillStyle = `${style.colour}${isRaster ? "0a" : "4d"}`;
  context.fillRect(20.5, 2.5, 22, 13);
  context.strokeStyle = style.colour;
  context.lineWidth = width;
  context.setLineDash((style.dash ?? []).map((length) => length * width));
  context.strokeRect(20.5, 2.5, 22, 13);
  context.setLineDash([]);
  context.translate(9, 9);
  paintMarker(context, style.colour, style.marker, 4.5, isRaster);
  return canvas;
}

/** Return a short text for a number: 950, 1.2k, 34k, 1.5M. */
export function shortenNumber(number) {
  if (number < 1000) return String(number);
  if (number < 99_950) return `${(number / 1000).toFixed(number < 9950 ? 1 : 0)}k`;
  if (number < 999_500) return `${Math.round(number / 1000)}k`;
  return `${(number / 1e6).toFixed(number < 9.95e6 ? 1 : 0)}M`;
}
