// Plays the part of a page with websocket-multiplex over sockjs-client, and tells what happened.
//
// The orders come as one JSON object on standard input: {url, transport, patience}. The answer is one JSON object on
// standard output: what each channel has seen, by a name for it, as a list of "open", "close" and messages.
"use strict";

const fs = require("fs");
const SockJS = require("sockjs-client");

// The file is made for pages: it exports nothing, and leaves a global name.
const source = fs.readFileSync(require.resolve("websocket-multiplex/multiplex_client.js"), "utf8");
const WebSocketMultiplex = new Function(source + "\nreturn WebSocketMultiplex;")();

const seen = {};

function channel(multiplexer, name, topic) {
  const events = (seen[name] = []);
  const made = multiplexer.channel(topic);
  made.onopen = () => events.push("open");
  made.onmessage = (event) => events.push(event.data);
  made.onclose = () => events.push("close");
  return made;
}

async function until(what) {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const has = (name, event) => until(() => seen[name].includes(event));

async function play(job) {
  const sock = new SockJS(job.url, null, { transports: [job.transport] });
  const multiplexer = new WebSocketMultiplex(sock);

  const ann = channel(multiplexer, "ann", "ann");
  const room = channel(multiplexer, "room", "tea room");
  const snowman = channel(multiplexer, "snowman", "\u2603");
  channel(multiplexer, "nobody", "a,b");
  await has("nobody", "close");
  for (const [name, made] of Object.entries({ ann, room, snowman })) {
    await has(name, "open");
    made.send("1, 2, \u2603 and so on");
    made.send("");
    await has(name, "");
  }

  // The server closes, and the topic can be had again.
  room.send("quit");
  await has("room", "close");
  const room2 = channel(multiplexer, "room2", "tea room");
  await has("room2", "open");
  room2.send("again");
  await has("room2", "again");

  // The client leaves and is back at once, twice. That both sides leave at a time is for tests that decide which message
  // crosses which: here it would be up to the sockets whether the client takes the news for the end of its next channel.
  ann.close();
  const ann2 = channel(multiplexer, "ann2", "ann");
  await has("ann2", "open");
  ann2.send("back");
  await has("ann2", "back");
  ann2.close();
  const ann3 = channel(multiplexer, "ann3", "ann");
  await has("ann3", "open");
  ann3.send("still there");
  await has("ann3", "still there");

  // Subscribed twice: the second channel is the one that counts.
  const snowman2 = channel(multiplexer, "snowman2", "\u2603");
  await has("snowman2", "open");
  snowman2.send("mine");
  await has("snowman2", "mine");
  sock.close();
}

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const job = JSON.parse(text);
  const late = new Promise((resolve) => setTimeout(() => resolve("late"), job.patience * 1000));
  const how = await Promise.race([play(job).then(() => "done"), late]);
  process.stdout.write(JSON.stringify({ how, seen }), () => process.exit(0));
}

main();
