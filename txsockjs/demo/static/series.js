// What the charts show: the last minute, second by second.

import { median } from "./dom.js";

export const SECONDS = 60;

const TRIPS_LIMIT = 200; // round trips of one second that are kept

export function createSeries(now = () => performance.now()) {
  const bins = new Map(); // by the number of the second

  function binOf(second) {
    let bin = bins.get(second);
    if (!bin) {
      bin = { sent: 0, received: 0, trips: [] };
      bins.set(second, bin);
      for (const old of bins.keys()) {
        if (old < second - SECONDS) bins.delete(old);
      }
    }
    return bin;
  }

  const second = () => Math.floor(now() / 1000);

  return {
    sent() {
      binOf(second()).sent += 1;
    },
    received() {
      binOf(second()).received += 1;
    },
    trip(milliseconds) {
      const { trips } = binOf(second());
      if (trips.length < TRIPS_LIMIT) trips.push(milliseconds);
    },

    // One entry for each second, the oldest first; seconds in which nothing happened are null. The second that is
    // under way is left out, since half of a second would look like a dip.
    rates() {
      const last = second() - 1;
      return Array.from({ length: SECONDS }, (_, at) => {
        const bin = bins.get(last - SECONDS + 1 + at);
        return bin ? { sent: bin.sent, received: bin.received } : null;
      });
    },

    // The same for round trips, with the second that is under way.
    trips() {
      const last = second();
      return Array.from({ length: SECONDS }, (_, at) => {
        const bin = bins.get(last - SECONDS + 1 + at);
        if (!bin || !bin.trips.length) return null;
        return { low: Math.min(...bin.trips), middle: median(bin.trips), high: Math.max(...bin.trips) };
      });
    },

    // All round trips of the last minute, the latest last.
    allTrips() {
      const first = second() - SECONDS;
      return [...bins].filter(([at]) => at > first).flatMap(([, bin]) => bin.trips);
    },
  };
}
