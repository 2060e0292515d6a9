#!/usr/bin/env node
// The statsd server, and a backend for it: at each flush prints a line of JSON
// with what came in since the one before, counters and gauges by name and tags.
// usage: statsd_server.js SETTINGS, with this file as backend.

'use strict';

exports.init = (startupTime, config, events) => {
  events.on('flush', (timestamp, metrics) => {
    const grown = Object.entries(metrics.counters).filter(([, by]) => by !== 0);
    const counters = Object.fromEntries(grown);
    console.log(JSON.stringify({counters, gauges: metrics.gauges}));
  });
  return true;
};

require('statsd/stats');
