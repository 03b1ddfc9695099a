// The two charts: how long round trips take, and how many messages come and go.

import { drawRates, drawTrips } from "./chart.js";
import { byId, count, median, milliseconds, number } from "./dom.js";

const PERIOD = 500; // milliseconds from one drawing to the next

function showTrips(series) {
  const all = series.allTrips();
  byId("trips-empty").hidden = all.length > 0;
  drawTrips(byId("trips-chart"), series.trips());
  byId("trip-last").textContent = all.length ? milliseconds(all.at(-1)) : "–";
  byId("trip-median").textContent = all.length ? milliseconds(median(all)) : "–";
  byId("trip-slowest").textContent = all.length ? milliseconds(Math.max(...all)) : "–";
  byId("trips-chart").setAttribute(
    "aria-label",
    all.length
      ? `Round trips of the last minute: ${count(all.length, "message")}, median ${milliseconds(median(all))}`
      : "No round trips in the last minute"
  );
}

function showRates(series) {
  const rates = series.rates();
  const sum = (kind) => rates.reduce((total, one) => total + (one ? one[kind] : 0), 0);
  const now = rates.at(-1) || { sent: 0, received: 0 };
  byId("rates-empty").hidden = sum("sent") + sum("received") > 0;
  drawRates(byId("rates-chart"), rates);
  byId("rate-sent").textContent = `${number(now.sent)}/s`;
  byId("rate-received").textContent = `${number(now.received)}/s`;
  byId("rates-chart").setAttribute(
    "aria-label",
    `Messages of the last minute: ${sum("sent")} sent, ${sum("received")} received`
  );
}

export function createCharts(series) {
  function show() {
    if (document.hidden) return;
    showTrips(series);
    showRates(series);
  }
  setInterval(show, PERIOD);
  document.addEventListener("visibilitychange", show);
  new ResizeObserver(show).observe(byId("trips-chart"));
  show();
}
