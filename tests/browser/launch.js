// Starts a browser that talks to nobody but the servers of a check.
"use strict";

const { chromium } = require("playwright-core");

const QUIET = [
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

module.exports = function launch(executablePath, ...more) {
  // It refuses to run for the superuser inside its sandbox.
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args: [...QUIET, ...sandbox, ...more] });
};
