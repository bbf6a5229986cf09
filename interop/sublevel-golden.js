'use strict'

// Writes what the encodings and sublevels of abstract-level do, as seen through
// classic-level, to standard output: testdata/sublevel/golden.json. See the
// README.md there.

const { ClassicLevel } = require('classic-level')
const fs = require('fs')
const os = require('os')
const path = require('path')

const version = (name) => `${name} ${require(`${name}/package.json`).version}`
const hex = (s) => Buffer.from(s).toString('hex')

// Texts and values that come back as they went in, if not told otherwise.
const encodings = {
  utf8: ['', 'a', '0', 'é', '\u2028', '😀', 'a\u0000b', '\ufffd'],
  buffer: ['', '00', 'ff', 'fffe80', '616263'].map((h) => ({ hex: h })),
  view: ['', '00', 'ff', 'fffe80', '616263'].map((h) => ({ hex: h })),
  hex: ['', '00', 'ff', 'DEADbeef', 'a', 'abc', 'zz', 'ab cd', '0x12'],
  base64: [
    '', 'aA==', 'aGk=', 'aGVs', 'aGVsbG8', 'aGVsbG9', '-_-_', '+/-_', '+/+/', 'aG Vs\n\tbG8=', 'aA=', 'aA===', '====',
    'a', 'aGVsb', 'aGVs*bG8=', 'aA==aA==', 'é'
  ],
  json: [
    true, false, 0, 1, -1, 1.5, 0.1, 1e20, 1e21, 1e-6, 1e-7, 123456789012, 9007199254740991, -1e300, 5e-324,
    '', 'a', '<b>&amp;</b>', '"\\/', '\b\f\n\r\t\u0000\u001f\u007f', '\u2028\u2029', '\\u2028', '\\\\u2029', 'é😀', '\ufffd',
    [], [1, [2, []], null], {}, { '': 0 }, { a: 1, b: { c: ['<', '>'] } }, { '\u2028': '&' }
  ]
}

// Names of sublevels, outermost first.
const names = [
  ['a'], ['a', 'b'], ['a', 'b', 'c'], ['!a!'], ['!!a!!', '!b'], [''], ['!!'], ['', 'a'], ['a', ''],
  ['#'], ['~'], ['A-z_0.9:/'], ['"'], ['a b'], ['a!b'], ['é'], ['\u007f'],
  [{ name: 'a', separator: '#' }], [{ name: '$', separator: '#' }], [{ name: '%', separator: '#' }],
  [{ name: '!', separator: '#' }], [{ name: '##a#', separator: '#' }], [{ name: '!', separator: '\u0000' }],
  [{ name: '\u0001', separator: '\u0000' }], [{ name: '\u0002', separator: '\u0000' }],
  [{ name: 'a', separator: '/' }, 'b'], ['a', { name: 'b', separator: '/' }], [{ name: 'a', separator: '' }],
  [{ name: '~', separator: '|' }], [{ name: '', separator: '~' }], [{ name: 'a', separator: 'ab' }]
]

// A database of neighbours: keys of sublevels, of those within them, and others
// next to their bounds. Keys are hex.
const entries = [
  [[], hex('!')], [[], hex('!a')], [[], hex('!a ')], [[], hex('!aa')], [[], hex('!b')], [[], hex('"')], [[], hex('zz')], [[], ''],
  [[''], hex('empty')],
  [['a'], ''], [['a'], hex('1')], [['a'], hex('2')], [['a'], hex('3')], [['a'], '00'], [['a'], 'ff'], [['a'], 'ffff'], [['a'], hex('é')],
  [['a', 'a'], hex('1')], [['a', 'b'], ''], [['a', 'b'], hex('1')],
  [['aa'], hex('1')], [['b'], hex('1')], [['b'], hex('2')],
  [[{ name: 'a', separator: '#' }], hex('1')],
  [['b', { name: 'c', separator: '/' }], hex('1')]
]

// Reads and clears of sublevels. Bounds are hex.
const ranges = [
  {}, { reverse: true }, { limit: 2 }, { reverse: true, limit: 2 }, { gt: hex('1') }, { gte: hex('2') }, { lt: hex('2') }, { lte: hex('2') },
  { gt: hex('1'), lt: hex('3') }, { gte: hex('1'), lte: hex('2'), reverse: true }, { gt: hex('3'), lt: hex('1') }, { lt: '' }, { lte: '' },
  { gt: '' }, { gt: 'ffff' }, { gte: 'ff', reverse: true, limit: 1 }
]
const places = [['a'], ['a', 'b'], ['b'], [''], ['none'], [{ name: 'a', separator: '#' }], ['b', { name: 'c', separator: '/' }]]

const binary = { keyEncoding: 'buffer', valueEncoding: 'buffer' }

function sublevel (db, names, options) {
  for (const n of names) {
    const { name, separator } = typeof n === 'string' ? { name: n } : n
    db = db.sublevel(name, separator === undefined ? options : { ...options, separator })
  }
  return db
}

function bounds (range) {
  const o = { ...range }
  for (const k of ['gt', 'gte', 'lt', 'lte']) {
    if (k in o) o[k] = Buffer.from(o[k], 'hex')
  }
  return o
}

async function withDB (fn) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sublevel-golden-'))
  const db = new ClassicLevel(dir, binary)
  try {
    return await fn(db)
  } finally {
    await db.close()
    fs.rmSync(dir, { recursive: true })
  }
}

async function fill (db) {
  for (const [names, key] of entries) {
    await sublevel(db, names, binary).put(Buffer.from(key, 'hex'), Buffer.from(JSON.stringify([names, key])))
  }
}

const dump = async (db) => (await db.keys().all()).map((k) => k.toString('hex'))

async function main () {
  const golden = {
    madeBy: [version('abstract-level'), version('level-transcoder'), version('classic-level'), `node ${process.version}`],
    encodings: [],
    names: [],
    entries: [],
    reads: [],
    clears: []
  }
  await withDB(async (db) => {
    for (const encoding in encodings) {
      for (const v of encodings[encoding]) {
        const put = v !== null && v.hex !== undefined ? Buffer.from(v.hex, 'hex') : v
        const text = JSON.stringify(v)
        await db.put('k', put, { valueEncoding: encoding })
        const stored = (await db.get('k')).toString('hex')
        let got = await db.get('k', { valueEncoding: encoding })
        if (ArrayBuffer.isView(got)) got = { hex: Buffer.from(got).toString('hex') }
        golden.encodings.push({ encoding, put: JSON.parse(text), stored, got })
      }
    }
    for (const n of names) {
      try {
        golden.names.push({ names: n, prefix: sublevel(db, n).prefix })
      } catch (err) {
        golden.names.push({ names: n, error: err.message })
      }
    }
  })
  await withDB(async (db) => {
    await fill(db)
    for await (const [key, value] of db.iterator()) {
      const [names, k] = JSON.parse(value)
      golden.entries.push({ names, key: k, stored: key.toString('hex'), value: value.toString('utf8') })
    }
    for (const names of places) {
      for (const range of ranges) {
        golden.reads.push({ names, range, keys: await dumpRange(sublevel(db, names, binary), range) })
      }
    }
  })
  for (const names of places) {
    for (const range of [{}, { gt: hex('1') }, { lte: hex('2') }, { reverse: true, limit: 1 }]) {
      await withDB(async (db) => {
        await fill(db)
        await sublevel(db, names, binary).clear(bounds(range))
        golden.clears.push({ names, range, left: await dump(db) })
      })
    }
  }
  // One case a line, so that a change can be read.
  const lines = (a) => '[\n    ' + a.map((x) => JSON.stringify(x)).join(',\n    ') + '\n  ]'
  console.log('{\n' + Object.entries(golden).map(([k, v]) => `  "${k}": ${lines(v)}`).join(',\n') + '\n}')
}

async function dumpRange (sub, range) {
  return (await sub.keys(bounds(range)).all()).map((k) => k.toString('hex'))
}

main()
