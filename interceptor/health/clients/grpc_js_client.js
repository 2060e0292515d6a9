#!/usr/bin/env node
// Asks a server how it is, as a user of @grpc/grpc-js and grpc-health-check
// would. See usage.

'use strict';

const grpc = require('@grpc/grpc-js');
const health = require('grpc-health-check');

const usage = `Usage: grpc_js_client.js check|watch ADDRESS [NAME]
       grpc_js_client.js list ADDRESS

  check  prints the status of NAME, or "error" and the code
  watch  prints each status of NAME, and at last "error" and the code
  list   prints a line for each name, in order: the status and the name; or
         "error" and the code

Exit status: 0, or 2 if the command line is wrong.
`;

const deadline = {deadline: Date.now() + 60000};
const showError = error => console.log(`error ${error.code}`);

function check(client, service) {
  client.check({service}, deadline, (error, response) => {
    if (error) {
      showError(error);
    } else {
      console.log(response.status);
    }
  });
}

function watch(client, service) {
  client.watch({service}, deadline)
    .on('data', response => console.log(response.status))
    .on('error', showError);
}

function list(client) {
  client.list({}, deadline, (error, response) => {
    if (error) {
      showError(error);
      return;
    }
    for (const [name, {status}] of Object.entries(response.statuses).sort()) {
      console.log(`${status} ${name}`);
    }
  });
}

const verbs = new Map([['check', check], ['watch', watch], ['list', list]]);
const [verb, address, name, ...others] = process.argv.slice(2);
if (!verbs.has(verb) || address === undefined || others.length !== 0 ||
    (verb === 'list' && name !== undefined)) {
  process.stderr.write(usage);
  process.exit(2);
}
const Health = grpc.makeGenericClientConstructor(health.service, 'Health');
verbs.get(verb)(
  new Health(address, grpc.credentials.createInsecure()), name || '');
