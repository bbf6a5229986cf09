'use strict'

// A Node process at a database, for tests:
//
//   node peer.js classic|rave|party <dir> [worker name]
//
// It reports JSON lines on standard output and takes orders, JSON lines, on
// standard input; it ends when that ends. classic opens the directory with C++
// LevelDB and speaks no socket protocol; rave is rave-level, party level-party.
// With a worker's name it works like the Go worker of tests/multiproc: it puts
// keys of its own, writes and watches a shared key, and scans a range that does
// not change.

const readline = require('readline')

const [kind, dir, name] = process.argv.slice(2)
const report = (r) => process.stdout.write(JSON.stringify(r) + '\n')
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function make () {
  const binary = { keyEncoding: 'utf8', valueEncoding: 'utf8' }
  if (kind === 'classic') {
    const { ClassicLevel } = require('classic-level')
    return new ClassicLevel(dir, binary)
  }
  if (kind === 'rave') {
    const { RaveLevel } = require('rave-level')
    return new RaveLevel(dir, binary)
  }
  return require('level-party')(dir, binary)
}

const db = make()
db.on('leader', () => report({ Kind: 'role', Role: 'leader' }))

const notFound = (err) => err.code === 'LEVEL_NOT_FOUND' || err.notFound || /notfound/i.test(err.message)
const get = (key) => db.get(key).catch((err) => { if (notFound(err)) return undefined; throw err })

// entries reads a range with whichever iterator the package has.
async function entries (options) {
  const all = []
  const it = db.iterator(options)
  for await (const [key, value] of it) all.push([String(key), String(value)])
  return all
}

const orders = {
  put: ({ key, value }) => db.put(key, value),
  get: ({ key }) => get(key),
  del: ({ key }) => db.del(key),
  batch: ({ ops }) => db.batch(ops),
  clear: ({ options }) => db.clear(options || {}),
  entries: ({ options }) => entries(options || {}),
  close: () => db.close()
}

async function main () {
  if (kind === 'classic') {
    try {
      await db.open()
    } catch (err) {
      report({ Kind: 'error', Err: (err.cause && err.cause.code) || err.code, Text: String((err.cause || err).message) })
      process.exit(0)
    }
  } else {
    // Open is deferred and asks nobody: a get is what tells that it works.
    await get('no such key')
  }
  report({ Kind: 'ready' })
  if (name !== undefined) return work()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line)
    try {
      const value = await orders[order.op](order)
      report({ Kind: 'done', Data: value })
    } catch (err) {
      report({ Kind: 'error', Err: err.code || err.message })
    }
  }
  await db.close()
}

async function work () {
  let over = false
  let last = Date.now()
  let gap = 0
  const done = () => {
    const now = Date.now()
    gap = Math.max(gap, now - last)
    last = now
  }
  const failed = (what, err) => { if (!over) report({ Kind: 'error', Err: what + ': ' + (err.code || err.message) }) }
  const loops = [
    async (i) => {
      const key = 'w' + name + '/' + String(i).padStart(8, '0')
      if (i % 7 === 0) {
        await db.batch([{ type: 'put', key, value: key }, { type: 'put', key: 'x' + key, value: key }, { type: 'del', key: 'x' + key }])
      } else {
        await db.put(key, key)
      }
      done()
      report({ Kind: 'ack', N: i })
    },
    async (i) => {
      await db.put('node hot', name + '/' + i)
      done()
    },
    async (i) => {
      await get('hot')
      done()
      const all = await entries({ gte: 'fixed/', lt: 'fixed0' })
      // What the package itself delivers twice after a failover is its own
      // fault; what must hold is that nothing is missing.
      const keys = new Set(all.map((e) => e[0]))
      report({ Kind: 'scan', N: keys.size })
    }
  ]
  const running = loops.map(async (loop, n) => {
    for (let i = 0; !over; i++) {
      try {
        await loop(i)
      } catch (err) {
        failed(['put', 'put hot', 'scan'][n], err)
        if (n === 0) i--
        await pause(10)
      }
    }
  })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (JSON.parse(line) === 'gap') {
      report({ Kind: 'gap', Took: gap * 1e6 })
      gap = 0
      last = Date.now()
    }
  }
  over = true
  await Promise.race([Promise.all(running), pause(2000)])
  // The packages have no end for calls that wait; the test has all it wants.
  process.exit(0)
}

main().catch((err) => {
  report({ Kind: 'error', Err: err.code || err.message, Text: err.stack })
  process.exit(1)
})
