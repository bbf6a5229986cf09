'use strict'

// Writes internal/wire/testdata/{many,multi}.json: frames as the npm packages
// encode them, each beside what it says. Run in this folder, after npm ci:
//
//   node golden.js

const fs = require('fs')
const path = require('path')

const out = path.join(__dirname, '..', 'internal', 'wire', 'testdata')
const raveRequire = require('module').createRequire(require.resolve('rave-level'))

const b = (s) => Buffer.from(s)
const empty = Buffer.alloc(0)
const binary = Buffer.from([0, 1, 127, 128, 255])
const long = Buffer.alloc(300, 'x')
const ids = [0, 1, 127, 128, 16384, 0xffffffff, 2 ** 40]

const range = { limit: -1, reverse: false }
const both = { keys: true, values: true }

// What both packages have. The numbers are tags.
const requests = [
  ...ids.map(id => [0, 'Get', { id, key: b('k') }]),
  [0, 'Get', { id: 2, key: empty }],
  [0, 'Get', { id: 2, key: long }],
  [1, 'Put', { id: 3, key: b('k'), value: b('v') }],
  [1, 'Put', { id: 3, key: binary, value: empty }],
  [1, 'Put', { id: 300, key: b('k'), value: Buffer.alloc(20000, 7) }],
  [2, 'Delete', { id: 4, key: b('gone') }],
  [3, 'Batch', { id: 5, ops: [] }],
  [3, 'Batch', { id: 5, ops: [{ type: 'put', key: b('a'), value: b('1') }, { type: 'del', key: b('b') }] }],
  [3, 'Batch', { id: 5, ops: [{ type: 'put', key: long, value: empty }, { type: 'put', key: binary, value: Buffer.alloc(500, 1) }] }],
  [5, 'Clear', { id: 6, options: { ...range } }],
  [5, 'Clear', { id: 6, options: { gt: b('a'), lt: b('z'), limit: 10, reverse: true } }],
  [5, 'Clear', { id: 6, options: { gte: empty, lte: long, limit: 2147483647, reverse: false } }],
  [6, 'GetMany', { id: 7, keys: [] }],
  [6, 'GetMany', { id: 7, keys: [b('a'), empty, long] }]
]

const answers = [
  [0, 'Callback', { id: 1 }],
  [0, 'Callback', { id: 128, value: b('v') }],
  [0, 'Callback', { id: 1, value: empty }],
  [0, 'Callback', { id: 1, error: 'LEVEL_NOT_FOUND' }],
  [0, 'Callback', { id: 1, error: 'påskeæg' }],
  [2, 'GetManyCallback', { id: 1, values: [] }],
  [2, 'GetManyCallback', { id: 1, values: [{ value: b('v') }, {}, { value: empty }, { value: long }] }],
  [2, 'GetManyCallback', { id: 1, error: 'LEVEL_REMOTE_ERROR', values: [] }]
]

const options = [
  { ...both, ...range },
  { keys: true, values: false, gt: b('a'), lte: b('z'), limit: 0, reverse: true },
  { keys: false, values: true, gte: empty, lt: empty, limit: 64, reverse: false },
  { keys: false, values: false, gt: long, gte: binary, lt: long, lte: binary, limit: Number.MAX_SAFE_INTEGER, reverse: true }
]

const many = {
  guest: [
    ...requests,
    ...options.map(options => [4, 'Iterator', { id: 1, seq: 0, options, consumed: 0 }]),
    [4, 'Iterator', { id: 9, seq: 3, options: options[0], consumed: 1000, bookmark: b('k1') }],
    [4, 'Iterator', { id: 9, seq: 3, options: options[1], consumed: 1, bookmark: empty, seek: b('k2') }],
    [4, 'Iterator', { id: 9, seq: 0, options: options[0], consumed: 0, seek: empty }],
    [7, 'IteratorClose', { id: 200 }],
    [8, 'IteratorAck', { id: 1, seq: 0, consumed: 1 }],
    [8, 'IteratorAck', { id: 4294967295, seq: 130, consumed: 70000 }],
    [9, 'IteratorSeek', { id: 1, seq: 1, target: b('k') }],
    [9, 'IteratorSeek', { id: 1, seq: 1, target: empty }]
  ],
  host: [
    ...answers,
    [1, 'IteratorData', { id: 1, seq: 0, data: [b('k'), b('v')] }],
    [1, 'IteratorData', { id: 1, seq: 7, data: [b('k'), empty, long, binary] }],
    [3, 'IteratorError', { id: 1, seq: 0, error: 'LEVEL_CORRUPTION' }],
    [4, 'IteratorEnd', { id: 1, seq: 500 }]
  ]
}

const multi = {
  guest: [
    ...requests,
    ...options.map(options => [4, 'Iterator', { id: 0, batch: 32, options }]),
    [4, 'Iterator', { id: 5, batch: 32 }],
    [4, 'Iterator', { id: 5, batch: 0 }]
  ],
  host: [
    ...answers,
    [1, 'IteratorData', { id: 0, key: b('k'), value: b('v') }],
    [1, 'IteratorData', { id: 0, key: empty, value: long }],
    [1, 'IteratorData', { id: 130 }],
    [1, 'IteratorData', { id: 0, error: 'Corruption: block' }]
  ]
}

function write (file, cases, frames) {
  const lines = []
  for (const from of ['guest', 'host']) {
    for (const [tag, name, value] of cases[from]) {
      const frame = frames.map(f => f(tag, name, value))
      if (new Set(frame).size !== 1) throw new Error(`${name}: versions differ`)
      lines.push(JSON.stringify({ from, tag, name, value, frame: frame[0] }, hex))
    }
  }
  fs.writeFileSync(path.join(out, file), '[\n' + lines.join(',\n') + '\n]\n')
}

// JSON.stringify calls toJSON of buffers before it gets here.
function hex (key, value) {
  return value && value.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value
}

// Encodes as the packages do: tag and message, through their framing stream.
function framer (messages, lpstream) {
  return function (tag, name, value) {
    const enc = messages[name]
    const buf = Buffer.alloc(enc.encodingLength(value) + 1)
    buf[0] = tag
    enc.encode(value, buf, 1)
    const stream = lpstream.encode()
    stream.write(buf)
    const parts = []
    for (let part; (part = stream.read()) !== null;) parts.push(part)
    return Buffer.concat(parts).toString('hex')
  }
}

write('many.json', many, [
  framer(require('many-level/messages'), require('@vweevers/length-prefixed-stream')),
  framer(raveRequire('many-level/messages'), require('length-prefixed-stream'))
])
write('multi.json', multi, [
  framer(require('multileveldown/messages'), require('length-prefixed-stream'))
])
