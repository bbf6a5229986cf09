'use strict'

// Runs the test suite of abstract-level through guests of many-level 2.0.0, or,
// with MANY_LEVEL=1 in the environment, of the 1.0.1 that rave-level uses.
//
//   node abstract-level-suite.js [command of a host, see host.js]

const { createRequire } = require('module')
const load = process.env.MANY_LEVEL === '1' ? createRequire(require.resolve('rave-level')) : require
const { ManyLevelGuest } = load('many-level')
const suite = require('abstract-level/test')
const net = require('net')
const path = require('path')
const { run } = require('./host')

const skip = {}

run(skip, (test, host) => {
  suite({
    test,
    factory (options) {
      const file = path.join(host.take(), 'rave-level.sock')

      // The guest connects anew each time it is opened, as the suite wants.
      return new ManyLevelGuest({ ...options, _remote: () => net.connect(file) })
    }
  })
})
