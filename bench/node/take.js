'use strict'

// node take.js PACKAGE DIR KEYS: gets in one line of calls and puts in another.
// See ../kill_child.go.

const { open, key, value } = require('./database')
const { serve } = require('./lines')

const [name, dir, keys] = process.argv.slice(2)
const db = open(name, dir)

let leads = false
db.on('leader', () => { leads = true })

const any = (n) => Math.floor(Math.random() * n)

// repeat makes a call again and again; its pauses are the shortest that Node has.
const repeat = (call) => {
  const calls = { n: 0, longest: 0, last: performance.now() }
  const next = () => call((err) => {
    if (err) throw err
    const now = performance.now()
    calls.longest = Math.max(calls.longest, now - calls.last)
    calls.last = now
    calls.n++
    setTimeout(next, 1)
  })
  next()
  return (reset) => {
    const told = {
      N: calls.n,
      Last: Math.round((performance.timeOrigin + calls.last) * 1e6),
      Longest: Math.round(calls.longest * 1e6)
    }
    if (reset) calls.longest = 0
    return told
  }
}

db.get(key(0), (err) => {
  if (err) throw err
  const reads = repeat((done) => db.get(key(any(keys)), done))
  const writes = repeat((done) => db.put(key(any(keys)), value(any(1 << 20)), done))
  serve((line) => {
    const reset = line === 'reset'
    return { Leads: leads, Reads: reads(reset), Writes: writes(reset) }
  }, () => {})
})
