// Talks to services by sockjs-client, in a page or in a Web Worker, and tells what happened.
//
// `obey` takes an order and gives an answer, both as JSON in ASCII, since a lone surrogate does not travel otherwise. An
// order is {verb, name, patience, ...}: what to do, with which of the connections, and the seconds after which it is
// given up. The answer tells of the connection {transport, rto, took, messages, heartbeats, early, late, closed}:
//
//   transport   by what it has opened; null when it has not, or was opened no more
//   rto, took   the client's guess of a round trip after /info, and the time from there to the opening, in milliseconds
//   messages    what has come since the answer before. A message that is very long, here and in orders, is written
//               as [text, times], the text so many times; it is so only if it is the same as one that was sent
//   heartbeats  how many have come in all
//   early, late how many messages have come before the opening, and after the closing
//   closed      {code, reason, clean}, or null
"use strict";

(() => {
  const connections = new Map();

  // -- connections ---------------------------------------------------------------------------------------------------

  function infoEnd(url) {
    // Not by the whole name: the client adds a query.
    const entries = performance.getEntriesByType("resource").filter((entry) => entry.name.startsWith(`${url}/info`));
    return entries.length ? entries[entries.length - 1].responseEnd : NaN;
  }

  function connect(name, { url, transports, timeout }) {
    performance.clearResourceTimings();
    const options = {};
    if (transports) options.transports = transports;
    if (timeout) options.timeout = timeout * 1000;
    const socket = new SockJS(url, null, options);
    const told = { transport: null, rto: null, took: null, messages: [], heartbeats: 0, early: 0, late: 0, closed: null };
    const connection = { socket, told, changed: [] };
    const change = () => connection.changed.splice(0).forEach((look) => look());
    // Listeners, and not attributes: those are taken away when the connection closes, and would not see what is late.
    socket.addEventListener("open", () => {
      told.transport = socket.transport;
      told.rto = socket._rto;
      told.took = performance.now() - infoEnd(url);
      change();
    });
    socket.addEventListener("message", (event) => {
      if (told.transport === null) told.early += 1;
      if (told.closed !== null) told.late += 1;
      told.messages.push(event.data);
      change();
    });
    socket.addEventListener("heartbeat", () => {
      told.heartbeats += 1;
    });
    socket.addEventListener("close", (event) => {
      told.closed = { code: event.code, reason: event.reason, clean: event.wasClean };
      change();
    });
    connections.set(name, connection);
    return connection;
  }

  function pause(seconds) {
    return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }

  // Until there is enough, or the connection has closed, or it has taken too long; what is told shows which.
  async function until(connection, patience, enough) {
    let late = false;
    const limit = pause(patience).then(() => {
      late = true;
    });
    while (!late && connection.told.closed === null && !enough(connection.told)) {
      await Promise.race([limit, new Promise((resolve) => connection.changed.push(resolve))]);
    }
  }

  const never = () => false;

  // The very long messages that were sent, and how they are written.
  const long = new Map();

  function lengthen([text, times]) {
    const message = text.repeat(times);
    long.set(message, [text, times]);
    return message;
  }

  // -- verbs ---------------------------------------------------------------------------------------------------------

  const verbs = {
    // Connects anew, by the name that may have been another connection's: {url, transports, timeout}.
    async connect(order) {
      const connection = connect(order.name, order);
      await until(connection, order.patience, (told) => told.transport !== null);
      return connection;
    },

    // Connects as often as it takes.
    async reconnect(order) {
      const end = performance.now() + order.patience * 1000;
      for (;;) {
        const connection = await verbs.connect(order);
        if (connection.told.closed === null || performance.now() > end) return connection;
        await pause(0.2);
      }
    },

    // Sends messages, all at once, and waits for as many as are to come: {messages, expect}.
    async send(order) {
      const connection = connections.get(order.name);
      for (const message of order.messages) connection.socket.send(Array.isArray(message) ? lengthen(message) : message);
      await until(connection, order.patience, (told) => told.messages.length >= order.expect);
      return connection;
    },

    // Waits for some time, or until the connection closes: {seconds}.
    async idle(order) {
      const connection = connections.get(order.name);
      await until(connection, order.seconds, never);
      return connection;
    },

    // Closes, and waits for what may come late: {code, reason}.
    async close(order) {
      const connection = connections.get(order.name);
      connection.socket.close(order.code, order.reason);
      await until(connection, order.patience, never);
      await pause(0.1);
      return connection;
    },

    // Waits for the other side to close, and for what may come late.
    async closed(order) {
      const connection = connections.get(order.name);
      await until(connection, order.patience, never);
      await pause(0.1);
      return connection;
    },
  };

  // In ASCII; what JSON.stringify leaves as it is are whole characters.
  function asText(answer) {
    return JSON.stringify(answer).replace(
      /[\u007f-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
    );
  }

  self.obey = async (text) => {
    const order = JSON.parse(text);
    if (order.verb === "told") return asText(said);
    const { told } = await verbs[order.verb](order);
    const messages = told.messages.map((message) => long.get(message) ?? message);
    const answer = asText({ ...told, messages });
    told.messages = [];
    return answer;
  };

  // -- what the client says ------------------------------------------------------------------------------------------

  // [name, whether the client would use it], for each transport that it was asked for.
  const said = [];

  // Has sockjs.js, the build with debugging, tell what it thinks of transports; to be called before that is loaded.
  self.listen = () => {
    // It looks there for what to debug; workers have none of their own.
    const storage = { getItem: () => "sockjs-client:utils:transport", setItem() {}, removeItem() {} };
    Object.defineProperty(self, "localStorage", { value: storage });
    const log = console.debug;
    console.debug = (...words) => {
      const found = /(enabled|disabled)/.exec(words[0]);
      if (!found) log(...words);
      else said.push([words[words.length - 1], found[1] === "enabled"]);
    };
  };
})();
