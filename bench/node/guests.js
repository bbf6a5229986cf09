'use strict'

// node guests.js PACKAGE DIR NUMBER: holds idle guests. See ../memory.go.

const { open, key } = require('./database')
const { serve } = require('./lines')

const [name, dir, number] = process.argv.slice(2)
const guests = []

const next = () => {
  if (guests.length === Number(number)) {
    return serve((line) => { throw new Error(`unknown request ${line}`) }, () => {})
  }
  const db = open(name, dir)
  guests.push(db)
  db.on('leader', () => { throw new Error('leads, beside a leader') })
  db.get(key(0), (err) => {
    if (err) throw err
    next()
  })
}
next()
