'use strict'

// node failover.js PACKAGE DIR: gets and puts until it leads. See
// ../failover_child.go.

const { open, key, value } = require('./database')
const { serve } = require('./lines')

const KEYS = 860000

const [name, dir] = process.argv.slice(2)
const db = open(name, dir)

let elected = false
let leads = false
let ops = 0
let longest = 0
let last = performance.now()

db.on('leader', () => { elected = true })

const any = (n) => Math.floor(Math.random() * n)
const next = () => {
  const isLast = elected // the first call of a new leader still counts
  const then = (err) => done(err, isLast)
  if (ops % 2 === 0) db.get(key(any(KEYS)), then)
  else db.put(key(any(KEYS)), value(any(1 << 20)), then)
}
const done = (err, isLast) => {
  if (err) throw err
  const now = performance.now()
  longest = Math.max(longest, now - last)
  last = now
  ops++
  leads = isLast
  if (!isLast) next()
}

db.get(key(0), (err) => {
  if (err) throw err
  next()
  serve((line) => {
    const told = {
      Leads: leads,
      Last: Math.round((performance.timeOrigin + last) * 1e6),
      Longest: Math.round(longest * 1e6),
      Ops: ops
    }
    if (line === 'reset') longest = 0
    return told
  }, () => {})
})
