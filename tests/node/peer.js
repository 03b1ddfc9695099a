// Copyright (c) txsockjs contributors. See LICENSE for details.

// sockjs-node with some services, on a free port of the loopback interface, which it prints.

'use strict';

const http = require('http');
const sockjs = require('sockjs');

// It does not outlive whoever has started it.
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();

const OPTIONS = { log: () => {}, heartbeat_delay: 500, disconnect_delay: 2000 };

function service(prefix, connected, options) {
  const server = sockjs.createServer({ ...OPTIONS, prefix, ...options });
  server.on('connection', connected);
  return server;
}

function echo(session) {
  session.on('data', (message) => session.write(message));
}

const services = [
  service('/echo', echo),
  service('/short', echo, { response_limit: 4096 }),
  service('/disabled_websocket_echo', echo, { websocket: false }),
  service('/cookie_needed_echo', echo, { jsessionid: true }),
  service('/silent', () => {}, { heartbeat_delay: 3600000 }),
  service('/close', (session) => session.close(3000, 'Go away!')),
  // Says how it was closed to whoever asks next.
  service('/pour', (session) => {
    session.on('data', (count) => {
      for (let number = 0; number < Number(count); number++) session.write(`${number}`);
      session.close(3210, 'all said');
    });
  }),
];

const server = http.createServer();
for (const one of services) one.installHandlers(server);
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
