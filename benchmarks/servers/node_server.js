// Copyright (c) txsockjs contributors. See LICENSE for details.

// sockjs-node: node node_server.js PORT

'use strict';

const http = require('http');
const sockjs = require('sockjs');

const echo = sockjs.createServer({ prefix: '/echo' });
echo.on('connection', (session) => {
  session.on('data', (message) => session.write(message));
});

const members = new Set();
const fanout = sockjs.createServer({ prefix: '/fanout' });
fanout.on('connection', (session) => {
  members.add(session);
  session.on('data', (message) => {
    for (const member of members) member.write(message);
  });
  session.on('close', () => members.delete(session));
});

const server = http.createServer();
for (const service of [echo, fanout]) {
  // The stable release and the one to come have different names for this.
  if (service.installHandlers) service.installHandlers(server);
  else service.attach(server);
}
server.listen(Number(process.argv[2]), '127.0.0.1');
