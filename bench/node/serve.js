'use strict'

// node serve.js PACKAGE DIR: the leader.

const { open, close } = require('./database')
const { serve } = require('./lines')

const [name, dir] = process.argv.slice(2)
const db = open(name, dir)

db.on('leader', () => {
  serve((line) => { throw new Error(`unknown request ${line}`) }, () => close(db))
})
