#!/usr/bin/env node
// Greets from Node.js. Parameters: a JSON object on standard input.
"use strict";

const fs = require("fs");

const { name = "World" } = JSON.parse(fs.readFileSync(0, "utf8") || "{}");
console.log(JSON.stringify({ greeting: `Hello, ${name}!`, language: "node", version: process.versions.node }));
