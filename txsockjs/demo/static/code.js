// The lines of a program that makes the connection that was chosen on the page.

import { client, rawUrl, serviceUrl } from "./client.js";
import { byId } from "./dom.js";

function linesOf({ service, kind }) {
  const talk = [
    'sock.onopen = () => sock.send("hello");',
    "sock.onmessage = (event) => console.log(event.data);",
    "sock.onclose = (event) => console.log(event.code, event.reason);",
  ];
  if (kind === "raw") return [`const sock = new WebSocket("${rawUrl(service)}");`, ...talk];
  const make = kind
    ? [`const sock = new SockJS("${serviceUrl(service)}", null,`, `                        {transports: ["${kind}"]});`]
    : [`const sock = new SockJS("${serviceUrl(service)}");`];
  return [`<script src="${client.url}"></script>`, "<script>", ...make, ...talk, "</script>"];
}

export function showCode(choice) {
  byId("client-code").textContent = linesOf(choice).join("\n");
}
