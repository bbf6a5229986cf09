'use strict'

// Is a host as host.js describes one, with the npm packages' own code, for
// tests of guests.

const readline = require('readline')
const { npmHost } = require('./host')

const host = npmHost()
let busy = Promise.resolve()

readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [verb, dir] = line.split(' ')
    busy = busy.then(() => host[verb](dir)).then(() => console.log('done ' + dir))
  })
  .on('close', () => {
    busy = busy.then(() => host.stop())
  })
