// Charts of the last minute, drawn as SVG.

import { drawing, number } from "./dom.js";
import { at, ceiling, frame, label, line } from "./plot.js";
import { SECONDS } from "./series.js";

function place(area, at) {
  return area.left + ((area.right - area.left) * (at + 0.5)) / SECONDS;
}

function timeAxis(area) {
  const y = area.bottom + 17;
  return [
    label(area.left, y, `${SECONDS} s ago`, "start"),
    label((area.left + area.right) / 2, y, `${SECONDS / 2} s`, "middle"),
    label(area.right, y, "now"),
  ];
}

// Runs of seconds in which something was measured. What happens once a second misses one now and then.
function runs(points) {
  const found = [];
  let last = -Infinity;
  points.forEach((point, index) => {
    if (!point) return;
    if (index - last <= 2) found.at(-1).push({ ...point, index });
    else found.push([{ ...point, index }]);
    last = index;
  });
  return found;
}

// Round trips: the median of each second as a line, and from the fastest to the slowest as a band.
export function drawTrips(svg, points) {
  const area = frame(svg);
  const most = ceiling(Math.max(1, ...points.map((point) => (point ? point.high : 0))));
  const y = (value) => area.bottom - ((area.bottom - area.top) * value) / most;
  const parts = [0, 0.5, 1].flatMap((share) => [
    line(area, y(most * share), share ? "grid" : "axis"),
    label(area.left - 8, y(most * share) + 4, number(most * share)),
  ]);
  for (const run of runs(points)) {
    const xs = run.map((point) => place(area, point.index));
    const upper = run.map((point, index) => at(xs[index], y(point.high)));
    const lower = run.map((point, index) => at(xs[index], y(point.low))).reverse();
    const middle = run.map((point, index) => at(xs[index], y(point.middle)));
    if (run.length > 1) parts.push(drawing("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` }));
    parts.push(drawing("path", { class: "trips", d: `M${middle.join("L")}`, "data-seconds": run.length }));
    for (const [index, point] of run.entries()) {
      if (run.length > 1 && index < run.length - 1) continue;
      parts.push(drawing("circle", { class: "trip", cx: xs[index], cy: y(point.middle), r: 3 }));
    }
  }
  svg.replaceChildren(...parts, ...timeAxis(area));
}

// Messages: what was sent upwards from the middle, what was received downwards.
export function drawRates(svg, points) {
  const area = frame(svg);
  const highest = Math.max(...points.map((point) => (point ? Math.max(point.sent, point.received) : 0)));
  const most = ceiling(Math.max(2, highest));
  const middle = (area.top + area.bottom) / 2;
  const half = (area.bottom - area.top) / 2;
  const wide = Math.max(1.5, ((area.right - area.left) / SECONDS) * 0.7);
  const parts = [-1, 0, 1].flatMap((share) => [
    line(area, middle - half * share, share ? "grid" : "axis"),
    label(area.left - 8, middle - half * share + 4, number(most * Math.abs(share))),
  ]);
  points.forEach((point, index) => {
    if (!point) return;
    for (const [kind, value] of Object.entries(point)) {
      if (!value) continue;
      const tall = (half * value) / most;
      parts.push(
        drawing("rect", {
          class: kind,
          x: (place(area, index) - wide / 2).toFixed(1),
          y: (kind === "sent" ? middle - tall : middle).toFixed(1),
          width: wide.toFixed(1),
          height: tall.toFixed(1),
          "data-value": value,
        })
      );
    }
  });
  svg.replaceChildren(...parts, ...timeAxis(area));
}
