// Runs sockjs-client's own tests for browsers in the Chromium of this machine, in a clone of sockjs-client:
//
//   CHROME_BIN=/usr/bin/chromium npx karma start .../karma.js
//
// It has the configuration of the clone but for the browser, and a line for each test. SERVICES is as in services.js.
"use strict";

const path = require("path");

if (process.env.SERVICES) require("./services.js");
const configure = require(path.resolve("karma.conf.js"));

function List(baseReporterDecorator) {
  baseReporterDecorator(this);
  const say = (outcome) => (browser, { suite, description, log }) =>
    this.write([outcome, [...suite, description].join(" / "), ...log].join("  ") + "\n");
  this.specSuccess = say("passed ");
  this.specFailure = say("FAILED ");
  this.specSkipped = say("skipped");
}
List.$inject = ["baseReporterDecorator"];

module.exports = (config) => {
  configure(config);
  // The browser refuses to run for the superuser inside its sandbox.
  const flags = process.getuid() === 0 ? ["--no-sandbox"] : [];
  config.set({
    basePath: process.cwd(),
    plugins: [...config.plugins, { "reporter:list": ["type", List] }],
    reporters: ["list"],
    browsers: ["Local"],
    customLaunchers: { Local: { base: "ChromeHeadless", flags } },
  });
};
