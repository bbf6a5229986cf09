'use strict'

// As ../histogram.go: 32 buckets to each power of two of nanoseconds.
exports.Histogram = class {
  constructor () { this.counts = [] }

  add (milliseconds) {
    const bucket = Math.floor(Math.log2(Math.max(milliseconds * 1e6, 1)) * 32)
    while (this.counts.length <= bucket) this.counts.push(0)
    this.counts[bucket]++
  }
}

// repeat calls step(end, done) again and again, in lines calls at a time, for
// milliseconds from start on. done is given an error or the number of
// operations. Calls count that begin in that time.
exports.repeat = (lines, start, milliseconds, step) => new Promise((resolve, reject) => {
  const latencies = new exports.Histogram()
  const end = start + milliseconds
  let ops = 0
  let running = lines

  const line = (before) => {
    // A call may be answered before step returns; a long run of those must not
    // nest.
    let depth = 0
    const next = () => step(end, done)
    const done = (err, n) => {
      if (err) return reject(err)
      const now = performance.now()
      latencies.add(now - before)
      before = now
      ops += n
      if (now < end) {
        if (++depth % 100 === 0) return setImmediate(next)
        return next()
      }
      if (--running === 0) {
        resolve({ Ops: ops, Seconds: milliseconds / 1000, Latencies: latencies.counts })
      }
    }
    next()
  }
  for (let i = 0; i < lines; i++) line(performance.now())
})
