'use strict'

// The npm packages behind one face. Their callbacks are used, not their
// promises, which are slower.

const packages = {
  'rave-level' (dir) {
    const { RaveLevel } = require('rave-level')
    return new RaveLevel(dir, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  },
  'level-party' (dir) {
    return require('level-party')(dir, { keyEncoding: 'binary', valueEncoding: 'binary' })
  }
}

exports.open = (name, dir) => packages[name](dir)

// close resolves when db is closed.
exports.close = (db) => new Promise((resolve, reject) => {
  db.close((err) => { err ? reject(err) : resolve() })
})

// scan visits all entries until visit returns false.
exports.scan = (db, visit, done) => {
  const it = db.iterator()
  const end = (err) => {
    const close = it.close ? it.close.bind(it) : it.end.bind(it)
    close((closeErr) => done(err || closeErr))
  }
  if (it.nextv) {
    const next = () => it.nextv(1000, (err, entries) => {
      if (err || entries.length === 0) return end(err)
      for (const [key, value] of entries) {
        if (!visit(key, value)) return end()
      }
      next()
    })
    return next()
  }
  const next = () => it.next((err, key, value) => {
    if (err || key === undefined || !visit(key, value)) return end(err)
    next()
  })
  next()
}

// key and value make the same data set as ../dataset.go.
exports.key = (i) => Buffer.from(String(i).padStart(16, '0'))

const bytes = require('crypto').randomBytes(1 << 20)

exports.value = (i) => {
  const at = (i * 127) % (bytes.length - 100)
  return bytes.subarray(at, at + 100)
}
