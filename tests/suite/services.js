// Has sockjs-client's own tests talk to services elsewhere; to be loaded before them, in a clone of sockjs-client.
//
// SERVICES is the URL below which the standard test services are. What the tests ask for of these goes there, through a
// proxy in the place of their test server. All else, files and pages, still comes from that server.
"use strict";

const http = require("http");
const path = require("path");

const { createProxyServer } = require(require.resolve("http-proxy", { paths: [process.cwd()] }));

const SERVICES = /^\/(echo|disabled_websocket_echo|cookie_needed_echo|close|ticker|amplify|broadcast)(\/|\?|$)/;

const file = require.resolve(path.resolve("tests/support/sockjs_server"));
const startTheirs = require(file);

function start(port, config, prefix) {
  const theirs = startTheirs(0, config, prefix);
  const target = (request) =>
    SERVICES.test(request.url) ? process.env.SERVICES : `http://127.0.0.1:${theirs.address().port}`;
  const proxy = createProxyServer({});
  // Otherwise the services would not see that a client has left.
  proxy.on("proxyReq", (sent, request, response) => response.on("close", () => sent.destroy()));
  // The client has broken it off, or the server has.
  proxy.on("error", (error, request, response) => response.destroy());
  const front = http.createServer((request, response) => proxy.web(request, response, { target: target(request) }));
  front.on("upgrade", (request, socket, head) => proxy.ws(request, socket, head, { target: target(request) }));
  front.listen(port);
  return {
    close() {
      for (const server of [front, theirs]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

require.cache[file].exports = start;
