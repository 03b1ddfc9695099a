// What the page remembers: how things stood each time it asked, for some minutes.

export const SPAN = 300; // seconds

const COUNTERS = ["messages_in", "messages_out", "bytes_in", "bytes_out"];

function total(counts) {
  return Object.values(counts).reduce((sum, one) => sum + one, 0);
}

function add(sums, more) {
  for (const [key, value] of Object.entries(more)) sums[key] = (sums[key] || 0) + value;
}

export function isThere(row) {
  return row.state !== "gone";
}

// The services of a process as one.
export function sumOf(row) {
  const counts = { sessions: {}, closed: {}, refused: {}, opened: {} };
  const sum = { ...counts, queuedBytes: 0, queuedMessages: 0, blocked: 0, paused: 0 };
  for (const key of COUNTERS) sum[key] = 0;
  for (const service of row.services || []) {
    for (const key of ["sessions", "closed", "refused", "opened"]) add(sum[key], service[key]);
    for (const key of COUNTERS) sum[key] += service[key];
    sum.queuedBytes += service.queued_bytes;
    sum.queuedMessages += service.queued_messages;
    sum.blocked += service.blocked;
    sum.paused += service.paused;
  }
  return sum;
}

// What grows, by the name of its rate.
function countersOf(row, sum) {
  const channels = row.channels || {};
  return {
    in: sum.messages_in,
    out: sum.messages_out,
    bytesIn: sum.bytes_in,
    bytesOut: sum.bytes_out,
    opened: total(sum.opened),
    closed: total(sum.closed),
    refused: total(sum.refused),
    cpu: row.cpu,
    published: channels.published || 0,
    delivered: channels.delivered || 0,
  };
}

export function createHistory() {
  const points = [];
  const before = new Map(); // by process: what it told last, and the rates that followed from it

  // A second, or none where a process was not there before, or is another one by now.
  function ratesOf(row, counters) {
    const last = before.get(row.process);
    const isSame = last && last.pid === row.pid && last.uptime <= row.uptime;
    if (isSame && last.uptime === row.uptime) return last.rates;
    const seconds = isSame ? row.uptime - last.uptime : 0;
    const rates = {};
    for (const [key, value] of Object.entries(counters)) {
      rates[key] = isSame ? Math.max(0, value - last.counters[key]) / seconds : null;
    }
    before.set(row.process, { pid: row.pid, uptime: row.uptime, counters, rates });
    return rates;
  }

  function processOf(row) {
    const sum = sumOf(row);
    return {
      sum,
      rates: ratesOf(row, countersOf(row, sum)),
      sessions: total(sum.sessions),
      lag: row.lag.last,
      mostLag: row.lag.most,
      memory: row.memory,
    };
  }

  function forget(time) {
    while (points.length && points[0].time < time - SPAN) points.shift();
  }

  return {
    points,

    // Remembers what all processes tell, and returns it.
    add(rows, time) {
      const processes = new Map();
      const rates = {};
      const sessions = {};
      const sums = { queuedBytes: 0, queuedMessages: 0, blocked: 0, paused: 0, memory: 0 };
      for (const row of rows.filter(isThere)) {
        const found = processOf(row);
        processes.set(row.process, found);
        add(sessions, found.sum.sessions);
        add(rates, Object.fromEntries(Object.entries(found.rates).filter(([, rate]) => rate !== null)));
        for (const key of ["queuedBytes", "queuedMessages", "blocked", "paused"]) sums[key] += found.sum[key];
        sums.memory += row.memory || 0;
      }
      for (const row of rows) {
        if (!isThere(row)) before.delete(row.process);
      }
      const point = { time, sessions, rates, processes, ...sums, isGap: false };
      points.push(point);
      forget(time);
      return point;
    },

    // Remembers that there was no answer.
    gap(time) {
      points.push({ time, isGap: true });
      forget(time);
    },

    // Forgets what rates are reckoned from, when it is too old.
    restart() {
      before.clear();
    },
  };
}
