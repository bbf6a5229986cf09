'use strict'

// Opens databases with C++ LevelDB, of which npm's classic-level is made, and
// tells what is in them. Started in the folder interop:
//
//   node ../tests/compat/dump.js
//
// It takes directories, JSON strings, a line each, on standard input, and for
// each gives a line of JSON: the error, or the keys with the SHA-256 of their
// values, in order.

const crypto = require('crypto')
const path = require('path')
const readline = require('readline')
const { createRequire } = require('module')
const { ClassicLevel } = createRequire(path.join(process.cwd(), 'index.js'))('classic-level')

async function dump (dir) {
  const db = new ClassicLevel(dir, { createIfMissing: false, keyEncoding: 'utf8', valueEncoding: 'buffer' })
  try {
    await db.open()
    const entries = []
    for await (const [key, value] of db.iterator()) {
      entries.push(key + '=' + crypto.createHash('sha256').update(value).digest('hex'))
    }
    return { entries }
  } catch (err) {
    return { error: String(err) + (err.cause ? ': ' + err.cause : '') }
  } finally {
    await db.close()
  }
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await dump(JSON.parse(line))) + '\n')
  }
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
