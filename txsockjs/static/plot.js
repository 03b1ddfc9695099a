// What charts drawn as SVG have in common.

import { drawing } from "./dom.js";

const LEFT = 44; // room for the numbers
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 24;

// The next of 1, 2, 5, 10, 20, 50 … that is not smaller.
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * power >= value * 0.999999);
  return step * power;
}

export function frame(svg, leftMost = LEFT) {
  const width = svg.clientWidth || 600;
  const height = svg.clientHeight || 180;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { left: leftMost, right: width - RIGHT, top: TOP, bottom: height - BOTTOM };
}

export function line(area, y, className) {
  return drawing("line", { x1: area.left, x2: area.right, y1: y, y2: y, class: className });
}

export function label(x, y, text, anchor = "end") {
  return drawing("text", { x, y, "text-anchor": anchor }, text);
}

export const at = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;
