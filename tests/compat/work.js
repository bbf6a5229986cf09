'use strict'

// Writes to a database with C++ LevelDB, of which npm's classic-level is made,
// until it is killed or told to end. Started in the folder interop:
//
//   node ../tests/compat/work.js <dir> <from> [no-snappy]
//
// It carries out the operations of script_test.go from number from on, one
// after the other, and reports the number of each that is done. A line on
// standard input ends it.

const crypto = require('crypto')
const path = require('path')
const { createRequire } = require('module')
const { ClassicLevel } = createRequire(path.join(process.cwd(), 'index.js'))('classic-level')

const [dir, from, compression] = process.argv.slice(2)

const key = (i, d = 0) => 'k' + String((i * 31 + d * 100) % 701).padStart(4, '0')

function value (i) {
  const n = i % 211 === 0 ? 70000 : i * 37 % 900
  if (i % 3 === 0) return (i + ',').repeat(n).slice(0, n)
  let s = ''
  for (let j = 0; s.length < n; j++) s += crypto.createHash('sha256').update(i + '/' + j).digest('hex')
  return s.slice(0, n)
}

function operate (db, i) {
  if (i % 5 === 4) return db.del(key(i))
  if (i % 17 === 16) return db.batch([0, 1, 2].map((d) => ({ type: 'put', key: key(i, d), value: value(i) })))
  return db.put(key(i), value(i))
}

async function main () {
  const db = new ClassicLevel(dir, { writeBufferSize: 64 << 10, compression: compression !== 'no-snappy' })
  await db.open()
  let over = false
  process.stdin.once('data', () => { over = true })
  for (let i = Number(from); !over; i++) {
    await operate(db, i)
    process.stdout.write(i + '\n')
  }
  await db.close()
  process.stdin.destroy()
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
