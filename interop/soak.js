'use strict'

// A Node process of tests/soak:
//
//   node soak.js rave|party <dir> <board> <slot> <generation>
//
// It does a part of what a Go process there does, and judges in the same way: see
// own_test.go, batch_test.go, bank_test.go and scan_test.go. board_test.go says
// what the board is, key_test.go what keys and values are. It reports JSON lines on
// standard output, and ends by an order, or when those end.

const fs = require('fs')
const readline = require('readline')

const [kind, dir, boardPath, slotArg, genArg] = process.argv.slice(2)
const slot = Number(slotArg)
const gen = Number(genArg)

const SLOTS = 8
const OWN_KEYS = 12
const MARK_BATCH = 12
const MARKS = 16
const WORD_ERA = 1
const WORD_NODE_LED = 4
const WORD_GEN = 16
const WORD_MARKS = 256
const DELETE_EVERY = 7
const DELETE_BATCH = 5
const BATCH_KEYS = 6
const ACCOUNTS = 40
const WEALTH = 1000
const FIXED = 400

process.on('SIGINT', () => {}) // it is for the parent

const report = (r) => process.stdout.write(JSON.stringify(r) + '\n')
const lie = (text) => report({ Kind: 'lie', Text: `${kind} in slot ${slot}, generation ${gen}: ${text}` })
const pause = (mean) => new Promise((resolve) => setTimeout(resolve, Math.random() * 2 * mean))
const below = (n) => Math.floor(Math.random() * n)
const stats = { Ops: 0, Unknown: 0 }

// The board.

const fd = fs.openSync(boardPath, 'r+')
const word = Buffer.alloc(8)

function get (i) {
  for (let last = -1; ;) {
    fs.readSync(fd, word, 0, 8, 8 * i)
    const now = Number(word.readBigUInt64LE())
    if (now === last) return now
    last = now
  }
}

function set (i, n) {
  word.writeBigUInt64LE(BigInt(n))
  fs.writeSync(fd, word, 0, 8, 8 * i)
}

const mark = (s, g, e) => WORD_MARKS + 2 * (e + MARKS * (g % 4 + 4 * s))
const intent = (m) => get(m)
const acked = (m) => get(m + 1)
const holds = (s, g) => { const now = get(WORD_GEN + s); return g > 0 && g <= now && now - g <= 1 }

// Keys and values.

const pad = (n, width) => String(n).padStart(width, '0')
const ownKey = (s, g, e) => `own/${pad(s, 2)}/${pad(g, 8)}/${pad(e, 2)}`
const batchKey = (s, g, i) => `batch/${pad(s, 2)}/${pad(g, 8)}/${pad(i, 2)}`
const accountKey = (i) => `bank/${pad(i, 2)}`
const fixedKey = (i) => `fixed/${pad(i, 4)}`
const times = (n, f) => Array.from({ length: n }, (_, i) => f(i))

function stamped (key, n, tries) {
  const head = `${key}=${n}.${tries};`
  const size = head.length + (n * 37 + key.charCodeAt(key.length - 1) * 101) % 700
  return head.repeat(Math.floor(size / head.length) + 1).slice(0, size)
}

// numberOf returns which write of key a value comes from.
function numberOf (key, value) {
  const m = /^(.*?)=(\d+)\.(\d+);/.exec(value)
  if (m && m[1] === key && value === stamped(key, Number(m[2]), Number(m[3]))) return Number(m[2])
  throw new Error(`${key} has a value that nobody wrote: ${value.slice(0, 80)}`)
}

// The database.

function make () {
  const text = { keyEncoding: 'utf8', valueEncoding: 'utf8' }
  if (kind === 'rave') {
    const { RaveLevel } = require('rave-level')
    return new RaveLevel(dir, text)
  }
  return require('level-party')(dir, text)
}

const db = make()
db.on('leader', () => {
  set(WORD_NODE_LED, get(WORD_ERA))
  report({ Kind: 'role', Text: 'leader' })
})
db.on('error', (err) => report({ Kind: 'npm', Text: String(err) }))

const notFound = (err) => err.code === 'LEVEL_NOT_FOUND' || err.notFound || /notfound/i.test(err.message)
const read = (key) => db.get(key).catch((err) => { if (notFound(err)) return undefined; throw err })

function judge (key, value, least, most, every) {
  if (value === undefined) {
    if (most - most % every < least) lie(`${key} is missing; acknowledged was write ${least}, and ${most} had begun`)
    return
  }
  const n = numberOf(key, value)
  if (n < least || n > most) lie(`${key} is of write ${n}; acknowledged was ${least}, and ${most} had begun`)
}

async function readOwn (s, g, e) {
  if (!holds(s, g)) return
  const key = ownKey(s, g, e)
  const m = mark(s, g, e)
  const least = acked(m)
  const value = await read(key)
  const most = intent(m)
  if (holds(s, g)) judge(key, value, least, most, DELETE_EVERY)
}

async function readBatch (s, g) {
  if (!holds(s, g)) return
  const keys = times(BATCH_KEYS, (i) => batchKey(s, g, i))
  const m = mark(s, g, MARK_BATCH)
  const least = acked(m)
  const values = (await db.getMany(keys)).map((v) => v === null ? undefined : v)
  const most = intent(m)
  if (!holds(s, g)) return
  const numbers = values.map((v, i) => v === undefined ? 0 : numberOf(keys[i], v))
  if (new Set(numbers).size !== 1) lie(`a batch is of writes ${numbers}: ${keys[0]}`)
  judge(keys[0], values[0], least, most, DELETE_BATCH)
}

// write does the next write of m until it is acknowledged.
async function write (m, fn) {
  const n = acked(m) + 1
  set(m, n)
  for (let tries = 1; !over; tries++) {
    try {
      await fn(n, tries)
      set(m + 1, n)
      return
    } catch (err) {
      failed(err)
      await pause(10)
    }
  }
}

let over = false

// failed: the packages send what fails again, so that only their own faults come
// here.
function failed (err) {
  stats.Unknown++
  if (!over) report({ Kind: 'npm', Text: `${err} (${err.code})` })
}

const tasks = [
  [10, async () => {
    const e = below(OWN_KEYS)
    const key = ownKey(slot, gen, e)
    await write(mark(slot, gen, e), (n, tries) => n % DELETE_EVERY === 0 ? db.del(key) : db.put(key, stamped(key, n, tries)))
    await readOwn(slot, gen, e)
  }],
  [30, async () => {
    await write(mark(slot, gen, MARK_BATCH), (n, tries) => db.batch(times(BATCH_KEYS, (i) => {
      const key = batchKey(slot, gen, i)
      return n % DELETE_BATCH === 0 ? { type: 'del', key } : { type: 'put', key, value: stamped(key, n, tries) }
    })))
    const s = below(SLOTS)
    await readBatch(s, get(WORD_GEN + s))
  }],
  [5, async () => {
    const s = below(SLOTS)
    await readOwn(s, get(WORD_GEN + s) - (below(4) === 0 ? 1 : 0), below(OWN_KEYS))
  }],
  [60, async () => {
    const values = await db.getMany(times(ACCOUNTS, accountKey))
    const sum = values.reduce((sum, v) => sum + Number(v.split('/')[0]), 0)
    if (sum !== ACCOUNTS * WEALTH) lie(`the accounts' sum is ${sum}: ${values}`)
  }],
  [500, async () => {
    // What the packages themselves deliver twice after a failover is their fault.
    const keys = new Set()
    for await (const [key] of db.iterator({ gte: 'fixed/', lt: 'fixed0' })) keys.add(String(key))
    if (keys.size !== FIXED) lie(`a scan found ${keys.size} keys of ${FIXED}`)
  }]
]

async function run ([mean, task]) {
  while (!over) {
    await pause(mean)
    if (over) return
    try {
      await task()
      stats.Ops++
    } catch (err) {
      if (err.message.includes('nobody wrote')) lie(err.message)
      else failed(err)
    }
  }
}

// forget removes the keys of generations that are no longer kept.
async function forget () {
  if (gen < 2) return
  for (const name of ['own', 'batch']) {
    const at = `${name}/${pad(slot, 2)}/`
    await db.clear({ gte: at, lt: at + pad(gen - 1, 8) })
  }
}

async function main () {
  // Open is deferred and asks nobody: a get is what tells that it works.
  for (;;) {
    try {
      await read('no such key')
      break
    } catch (err) {
      failed(err)
      await pause(10)
    }
  }
  report({ Kind: 'ready' })
  const telling = setInterval(() => report({ Kind: 'stats', Stats: stats }), 500)
  await forget()
  const running = tasks.map(run)
  let order
  for await (const line of readline.createInterface({ input: process.stdin })) {
    order = JSON.parse(line)
    break
  }
  over = true
  clearInterval(telling)
  // The packages have no end for calls that wait.
  const rest = Promise.race([Promise.all(running), pause(2000)])
  if (order === 'end') await rest
  await Promise.race([db.close(), pause(2000)])
  process.exit(0)
}

main().catch((err) => {
  report({ Kind: 'npm', Text: err.stack })
  process.exit(1)
})
