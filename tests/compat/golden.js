'use strict'

// Writes the logs and manifests of a database that C++ LevelDB made, for the
// testdata of internal/format/wal and internal/format/manifest. Run in the
// folder interop, after npm ci:
//
//   node ../tests/compat/golden.js

const fs = require('fs')
const os = require('os')
const path = require('path')
const { createRequire } = require('module')
const { ClassicLevel } = createRequire(path.join(process.cwd(), 'index.js'))('classic-level')

const format = path.join(__dirname, '..', '..', 'internal', 'format')

function keep (dir, pattern, file) {
  const found = fs.readdirSync(dir).filter((name) => pattern.test(name))
  if (found.length !== 1) throw new Error(`${pattern}: ${found}`)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.copyFileSync(path.join(dir, found[0]), file)
}

async function main () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'golden-'))
  const db = new ClassicLevel(dir, { writeBufferSize: 64 << 10 })
  await db.open()

  // The log: three puts, of which one crosses a block's end, a delete, and a
  // batch.
  await db.put('a', '1')
  await db.put('long', 'x'.repeat(33000))
  await db.put('', 'empty key')
  await db.del('a')
  await db.batch([{ type: 'put', key: 'b', value: '2' }, { type: 'del', key: 'long' }, { type: 'put', key: 'c', value: '' }])
  keep(dir, /\.log$/, path.join(format, 'wal', 'testdata', 'leveldb.log'))

  // The manifest: tables come, and compactions take them away.
  for (let i = 0; i < 400; i++) await db.put('key' + String(i * 37 % 400).padStart(4, '0'), String(i).repeat(1500))
  await db.compactRange('', 'z')
  await db.close()
  keep(dir, /^MANIFEST-/, path.join(format, 'manifest', 'testdata', 'leveldb.manifest'))
  fs.rmSync(dir, { recursive: true })
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
