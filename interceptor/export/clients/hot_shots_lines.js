#!/usr/bin/env node
// Prints what hot-shots, a client of DogStatsD, would send: hot_shots_lines.js
// CALLS, where CALLS is JSON: [[method, argument, ...], ...].

'use strict';

const StatsD = require('hot-shots');

Math.random = () => 0;  // every sample is taken
const client = new StatsD({mock: true});
for (const [method, ...parameters] of JSON.parse(process.argv[2])) {
  client[method](...parameters);
}
client.mockBuffer.forEach(line => console.log(line));
client.close(() => {});
