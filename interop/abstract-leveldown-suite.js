'use strict'

// Runs the test suite of abstract-leveldown through guests of multileveldown.
//
//   node abstract-leveldown-suite.js [command of a host, see host.js]

const multileveldown = require('multileveldown')
const suite = require('abstract-leveldown/test')
const net = require('net')
const path = require('path')
const { run } = require('./host')

const skip = {}

run(skip, (test, host) => {
  suite({
    test,
    factory () {
      const socket = net.connect(path.join(host.take(), 'level-party.sock'))
      const client = multileveldown.client()
      socket.pipe(client.createRpcStream()).pipe(socket)
      return client
    },

    // What the guest is: a levelup database without retries.
    snapshots: true,
    seek: false,
    clear: true,
    getMany: true,
    createIfMissing: false,
    errorIfExists: false,
    bufferKeys: true,
    promises: true,
    status: true,
    deferredOpen: true,
    serialize: false,
    encodings: true
  })
})
