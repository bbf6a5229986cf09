'use strict'

// node short.js PACKAGE DIR KEY: opens, gets, closes, ends.

const { open, close } = require('./database')

const [name, dir, key] = process.argv.slice(2)
const db = open(name, dir)

db.get(Buffer.from(key), (err) => {
  if (err) throw err
  close(db)
})
