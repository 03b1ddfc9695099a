// Connects from pages by the transports that need frames, and tells what happened.
//
// The orders come as one JSON object on standard input:
//
//   browser     path of the browser
//   visits      [{page, service, transport, messages}], each in a page of its own: load the page, connect to the service
//               by just this transport, send the messages, wait for as many answers, close
//   patience    seconds for each visit
//
// The answer is one JSON object on standard output: for each visit the transport that opened (null if none did), the
// messages that came back, how it closed, and every complaint of the browser in whatever frame: violations of a
// Content-Security-Policy, errors on the console, exceptions.
"use strict";

const launch = require("./launch.js");

// Runs in each frame before anything else there.
function watch() {
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`violation: ${event.violatedDirective} of ${event.blockedURI} at ${event.documentURI}`)
  );
}

// Runs in the page.
function talk({ service, transport, messages, patience }) {
  return new Promise((resolve) => {
    const seen = { transport: null, received: [], closed: null };
    const socket = new SockJS(service, null, { transports: transport, timeout: patience * 500 });
    const late = setTimeout(() => resolve(seen), patience * 1000);
    socket.onopen = () => {
      seen.transport = socket.transport;
      for (const message of messages) socket.send(message);
    };
    socket.onmessage = (event) => {
      seen.received.push(event.data);
      if (seen.received.length === messages.length) socket.close(3456, "enough");
    };
    socket.onclose = (event) => {
      clearTimeout(late);
      seen.closed = [event.code, event.reason];
      resolve(seen);
    };
  });
}

async function visit(browser, order, patience) {
  const context = await browser.newContext();
  context.setDefaultTimeout(patience * 1000);
  const complaints = [];
  try {
    await context.addInitScript(watch);
    context.on("console", (message) => {
      if (message.type() === "error") complaints.push(`${message.text()} (${message.location().url})`);
    });
    context.on("weberror", (error) => complaints.push(String(error.error())));
    const page = await context.newPage();
    await page.goto(order.page);
    await page.waitForFunction(() => typeof SockJS === "function");
    const seen = await page.evaluate(talk, { ...order, patience });
    return { ...seen, complaints };
  } finally {
    await context.close();
  }
}

async function main() {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const job = JSON.parse(input);
  const browser = await launch(job.browser);
  try {
    const visits = [];
    for (const order of job.visits) visits.push(await visit(browser, order, job.patience));
    process.stdout.write(JSON.stringify({ visits }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
