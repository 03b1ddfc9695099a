// Plays the part of a user of sockjs-client, and tells what happened.
//
// The orders come as one JSON object on standard input:
//
//   url         the service
//   transports  names of the transports allowed; all of them when missing
//   clients     how many connections to open, 1 by default
//   send        messages that the first connection sends once all are open
//   paced       send each message only after an answer to the one before
//   expect      messages that each connection waits for; when missing, it waits for the server to close
//   close       {code, reason} with which each connection closes after that
//   patience    seconds until a connection that still waits is given up
//
// The answer is one JSON object on standard output: {clients: [{transport, messages, early, closed, late}]}, where
// `early` and `late` count what came before the opening and after the closing, and `transport` and `closed` are null
// when there was no opening or closing.
"use strict";

const SockJS = require("sockjs-client");

function connect(job) {
  const sock = new SockJS(job.url, null, job.transports ? { transports: job.transports } : {});
  const told = { transport: null, messages: [], early: 0, closed: null, late: 0 };
  const client = { sock, told, onMessage: () => {} };
  client.opened = new Promise((resolve) => {
    sock.onopen = () => {
      told.transport = sock.transport;
      resolve();
    };
  });
  // Handlers set as attributes are taken away when the connection closes; a listener stays and sees what is late.
  sock.addEventListener("message", (event) => {
    if (told.transport === null) told.early += 1;
    if (told.closed !== null) told.late += 1;
    told.messages.push(event.data);
    client.onMessage();
  });
  client.closed = new Promise((resolve) => {
    sock.onclose = (event) => {
      told.closed = { code: event.code, reason: event.reason, clean: event.wasClean };
      resolve();
    };
  });
  return client;
}

function received(client, count) {
  return new Promise((resolve) => {
    client.onMessage = () => {
      if (client.told.messages.length >= count) resolve();
    };
    client.onMessage();
  });
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function play(job, clients) {
  await Promise.all(clients.map((client) => Promise.race([client.opened, client.closed])));
  const first = clients[0];
  for (const [index, message] of (job.send || []).entries()) {
    if (job.paced) await received(first, index);
    first.sock.send(message);
  }
  if (job.expect !== undefined) {
    await Promise.all(clients.map((client) => Promise.race([received(client, job.expect), client.closed])));
    // A message too many would come now.
    await pause(100);
    const close = job.close || { code: 1000, reason: "" };
    clients.forEach((client) => client.sock.close(close.code, close.reason));
  }
  await Promise.all(clients.map((client) => client.closed));
  // And one that should have been lost now.
  await pause(100);
}

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const job = JSON.parse(text);
  const clients = Array.from({ length: job.clients || 1 }, () => connect(job));
  await Promise.race([play(job, clients), pause(job.patience * 1000)]);
  const answer = JSON.stringify({ clients: clients.map((client) => client.told) });
  process.stdout.write(answer, () => process.exit(0));
}

main();
