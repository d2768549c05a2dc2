// graticule.js: lines of longitude and latitude with labels; there is no other background, as none comes from the net.

const STEPS = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const LIMIT = 85.0511;
const MARGIN = 0.04; // So near the map's edges, labels would be cut.

/** Return the lines and labels for what a map shows, as GeoJSON. */
export function makeGraticule(bounds) {
  const west = bounds.getWest();
  const east = bounds.getEast();
  const south = Math.max(bounds.getSouth(), -LIMIT);
  const north = Math.min(bounds.getNorth(), LIMIT);
  const step = chooseStep(Math.max(east - west, 1e-6));
  const features = [];
  const isInside = (value, low, high) => value > low + (high - low) * MARGIN && value < high - (high - low) * MARGIN;
  for (const longitude of listMultiples(west, east, step)) {
    features.push(makeLine([[longitude, south], [longitude, north]]));
    if (isInside(longitude, west, east)) features.push(makeLabel([longitude, south], formatDegrees(wrapLongitude(longitude), step, "E", "W"), "bottom"));
  }
  for (const latitude of listMultiples(south, north, step)) {
    features.push(makeLine([[west, latitude], [east, latitude]]));
    if (isInside(latitude, south, north)) features.push(makeLabel([west, latitude], formatDegrees(latitude, step, "N", "S"), "left"));
  }
  for (const edge of [-LIMIT, LIMIT]) features.push(makeLine([[west, edge], [east, edge]]));
  return { type: "FeatureCollection", features };
}

function chooseStep(width) {
  return STEPS.findLast((step) => width / step < 9) ?? STEPS[0];
}

function listMultiples(low, high, step) {
  const first = Math.ceil(low / step);
  const count = Math.min(Math.floor(high / step) - first + 1, 60);
  return [...Array(Math.max(count, 0)).keys()].map((index) => (first + index) * step);
}

const wrapLongitude = (longitude) => ((((longitude + 180) % 360) + 360) % 360) - 180;

function formatDegrees(value, step, positive, negative) {
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
  const text = `${Math.abs(value).toFixed(digits)}°`;
  return Math.abs(value) < step / 2 ? text : `${text} ${value > 0 ? positive : negative}`;
}

const makeLine = (coordinates) => ({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates } });

const makeLabel = (coordinates, text, side) => ({
  type: "Feature", properties: { text, side }, geometry: { type: "Point", coordinates },
});
