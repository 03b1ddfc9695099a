// Charts of some minutes: lines, or areas upon each other. What is under the pointer can be read exactly, and with the
// arrow keys as well.

import { drawing, element } from "./dom.js";
import { at, ceiling, frame, label, line } from "./plot.js";
import { SPAN } from "./history.js";

const LETTER = 7; // the width of a letter of the scale, at most
const GAP = 6; // seconds without a number, after which a line ends
const SPANS = [60, 120, SPAN]; // seconds that are shown, as long as there are no more
const NAMED = 5; // series that are named above a chart; the others are in the table

function spanOf(points) {
  const age = points.at(-1).time - points[0].time;
  return SPANS.find((span) => age <= span) ?? SPAN;
}

function ago(seconds) {
  if (seconds < 1) return "now";
  return seconds < 60 ? `${Math.round(seconds)} s ago` : `${(seconds / 60).toFixed(1)} min ago`;
}

// Runs of points that have a number.
function runs(points, values) {
  const found = [];
  let last = -Infinity;
  points.forEach((point, index) => {
    const value = values[index];
    if (value === null || value === undefined) {
      if (point.isGap) last = -Infinity;
      return;
    }
    if (point.time - last <= GAP) found.at(-1).push(index);
    else found.push([index]);
    last = point.time;
  });
  return found;
}

// What each series adds to those below it.
function stacked(series, length) {
  const floor = new Array(length).fill(0);
  return series.map(({ values }) => {
    const low = [...floor];
    values.forEach((value, index) => {
      floor[index] += value || 0;
    });
    return { low, high: [...floor] };
  });
}

// A chart of `seriesOf(points)`: a list of {name, color, values}, with a value or null for each point.
export function createChart(place, { title, about = "", kind = "lines", seriesOf, format, least = 1 }) {
  const card = element("div", "card chart");
  const bar = element("div", "bar");
  const heading = element("h2", "", title);
  const moment = element("span", "moment", "now");
  const figures = element("dl", "figures");
  const plot = element("div", "plot");
  const svg = drawing("svg", { role: "img", tabindex: "0" });
  bar.append(heading, moment);
  plot.append(svg);
  card.append(bar, ...(about ? [element("p", "about", about)] : []), figures, plot);
  place.append(card);

  let points = [];
  let series = [];
  let area = frame(svg);
  let span = SPANS[0];
  let cursor = null; // the time that is looked at; none for now

  const x = (time) => area.right - ((area.right - area.left) * (points.at(-1).time - time)) / span;

  function chosen() {
    if (cursor === null) return points.length - 1;
    let best = points.length - 1;
    points.forEach((point, index) => {
      if (Math.abs(point.time - cursor) < Math.abs(points[best].time - cursor)) best = index;
    });
    return best;
  }

  function highest(index) {
    return [...series].sort((one, other) => (other.values[index] ?? -1) - (one.values[index] ?? -1)).slice(0, NAMED);
  }

  function showFigures() {
    const index = chosen();
    const isNow = cursor === null || index === points.length - 1;
    moment.textContent = isNow ? "now" : ago(points.at(-1).time - points[index].time);
    const named = series.length > NAMED ? highest(index) : series;
    const all = named.map(({ name, color, dashed, values }) => {
      const one = element("div");
      const swatch = element("span", dashed ? "swatch dashed" : "swatch");
      swatch.dataset.color = color;
      const isKnown = values[index] !== null && values[index] !== undefined;
      one.append(swatch, element("dt", "", name), element("dd", "", isKnown ? format(values[index]) : "–"));
      return one;
    });
    if (named.length < series.length) {
      const rest = element("div");
      rest.append(element("dt", "", `and ${series.length - named.length} that are lower`));
      all.push(rest);
    }
    figures.replaceChildren(...all);
  }

  function curves(y) {
    return series.flatMap(({ color, dashed, values }) =>
      runs(points, values).map((run) => {
        const way = run.map((index) => at(x(points[index].time), y(values[index])));
        const name = dashed ? "curve dashed" : "curve";
        if (way.length > 1) return drawing("path", { class: name, "data-color": color, d: `M${way.join("L")}` });
        const [only] = run;
        const [cx, cy] = [x(points[only].time), y(values[only])];
        return drawing("circle", { class: "dot", "data-color": color, cx, cy, r: 2 });
      })
    );
  }

  function areas(y) {
    const layers = stacked(series, points.length);
    return series.flatMap(({ color, values }, number) =>
      runs(points, values).map((run) => {
        const upper = run.map((index) => at(x(points[index].time), y(layers[number].high[index])));
        const lower = run.map((index) => at(x(points[index].time), y(layers[number].low[index]))).reverse();
        return drawing("path", { class: "area", "data-color": color, d: `M${[...upper, ...lower].join("L")}Z` });
      })
    );
  }

  function most() {
    const tops = points.map((point, index) => {
      const here = series.map(({ values }) => values[index] || 0);
      return kind === "stack" ? here.reduce((sum, one) => sum + one, 0) : Math.max(0, ...here);
    });
    return ceiling(Math.max(least, ...tops));
  }

  function redraw() {
    if (!points.length) return;
    span = spanOf(points);
    const top = most();
    const marks = [0, 0.5, 1].map((share) => format(top * share));
    area = frame(svg, LETTER * Math.max(...marks.map((mark) => mark.length)) + 12);
    const y = (value) => area.bottom - ((area.bottom - area.top) * value) / top;
    const scale = marks.flatMap((mark, index) => [
      line(area, y((top * index) / 2), index ? "grid" : "axis"),
      label(area.left - 8, y((top * index) / 2) + 4, mark),
    ]);
    const words = [
      label(area.left, area.bottom + 17, `${span / 60} min ago`, "start"),
      label(area.right, area.bottom + 17, "now"),
    ];
    const parts = [...scale, ...words, ...(kind === "stack" ? areas(y) : curves(y))];
    if (cursor !== null) {
      const place = x(points[chosen()].time).toFixed(1);
      parts.push(drawing("line", { class: "cursor", x1: place, x2: place, y1: area.top, y2: area.bottom }));
    }
    svg.replaceChildren(...parts);
    showFigures();
    const said = series.map(({ name, values }) => {
      const value = values.at(-1);
      return `${name} ${value === null || value === undefined ? "not known" : format(value)}`;
    });
    const all = said.join(", ") || "nothing";
    svg.setAttribute("aria-label", `${title}, now: ${all}. The highest mark is ${format(top)}.`);
  }

  function look(time) {
    cursor = time;
    redraw();
  }

  svg.addEventListener("pointermove", (event) => {
    if (!points.length) return;
    const share = (event.clientX - svg.getBoundingClientRect().left - area.left) / (area.right - area.left);
    look(points.at(-1).time - span * (1 - Math.min(1, Math.max(0, share))));
  });
  svg.addEventListener("pointerleave", () => look(null));
  svg.addEventListener("blur", () => look(null));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !points.length) return;
    event.preventDefault();
    const next = Math.min(points.length - 1, Math.max(0, chosen() + step));
    look(next === points.length - 1 ? null : points[next].time);
  });
  new ResizeObserver(redraw).observe(svg);

  return {
    show(all) {
      points = all;
      series = seriesOf(all);
      redraw();
    },
  };
}
