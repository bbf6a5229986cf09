'use strict'

// node work.js PACKAGE DIR JOB: a guest of the leader that serve.js is. See
// ../work.go.

const database = require('./database')
const { repeat } = require('./measure')
const { serve } = require('./lines')

const [name, dir, json] = process.argv.slice(2)
const job = JSON.parse(json)
const db = database.open(name, dir)

const randomKey = () => database.key(Math.floor(Math.random() * job.Keys))
const randomValue = () => database.value(Math.floor(Math.random() * (1 << 20)))

const steps = {
  get (end, done) {
    db.get(randomKey(), (err, value) => {
      if (!err && value.length !== 100) err = new Error(`value of ${value.length} bytes`)
      done(err, 1)
    })
  },
  put (end, done) {
    db.put(randomKey(), randomValue(), (err) => done(err, 1))
  },
  mixed (end, done) {
    if (Math.random() < 0.05) steps.put(end, done)
    else steps.get(end, done)
  },
  batch (end, done) {
    const ops = []
    for (let i = 0; i < job.Batch; i++) {
      ops.push({ type: 'put', key: randomKey(), value: randomValue() })
    }
    db.batch(ops, (err) => done(err, job.Batch))
  },
  scan (end, done) {
    let n = 0
    const visit = () => ++n % 256 !== 0 || performance.now() < end
    database.scan(db, visit, (err) => done(err, n))
  }
}

const step = steps[job.Op]
const warmup = job.Warmup / 1e6

db.on('leader', () => { throw new Error('leads, beside a leader') })
db.get(database.key(0), (err) => {
  if (err) throw err
  serve(async (line) => {
    if (line !== 'go') throw new Error(`unknown request ${line}`)
    const begin = performance.now()
    await repeat(job.InFlight, begin, warmup, step)
    return repeat(job.InFlight, begin + warmup, job.Duration / 1e6, step)
  }, () => {}) // a leader outlives it, so that nothing is lost by not closing
})
