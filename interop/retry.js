'use strict'

// Breaks the connection of retrying guests again and again, and checks that
// nothing is missing and nothing comes twice. The npm packages' own hosts fail
// here: that of many-level misses keys in reverse, that of multileveldown ends
// a walk that has both a gte of its own and the gt of its resumption.
//
//   node retry.js [command of a host, see host.js]

const { ManyLevelGuest } = require('many-level')
const multileveldown = require('multileveldown')
const net = require('net')
const path = require('path')
const { run } = require('./host')

// Every second key is a part of the next.
const keys = []
for (let i = 0; i < 200; i++) {
  const key = 'k' + String(i).padStart(3, '0')
  keys.push(key, key + '~tail')
}

// connect keeps a guest connected, until it is closed, by calling dial.
function connect (file, createRpcStream) {
  let socket
  let ended = false
  const dial = () => {
    if (ended) return
    socket = net.connect(file)
    const rpc = createRpcStream()
    socket.on('error', () => {})
    rpc.on('error', () => {})
    rpc.on('close', () => setImmediate(dial))
    socket.on('close', () => rpc.destroy())
    socket.pipe(rpc).pipe(socket)
  }
  dial()
  return {
    lose () { socket.destroy() },
    end () { ended = true; socket.destroy() }
  }
}

const guests = {
  'many-level' (dir) {
    const db = new ManyLevelGuest({ retry: true })
    return { db, conn: connect(path.join(dir, 'rave-level.sock'), () => db.createRpcStream()) }
  },
  multileveldown (dir) {
    const db = multileveldown.client({ retry: true })
    return { db, conn: connect(path.join(dir, 'level-party.sock'), () => db.createRpcStream()) }
  }
}

// walk reads to the end. It breaks the connection behind every entry; what has
// come by then is read before the guest notices.
async function walk (iterator, conn) {
  const seen = []
  for (;;) {
    const entry = await iterator.next()
    if (entry === undefined) return seen
    seen.push(entry[0].toString())
    if (entry[1].toString() !== 'value of ' + entry[0]) throw new Error(`wrong value of ${entry[0]}`)
    conn.lose()
  }
}

run({}, (test, host) => {
  for (const name of Object.keys(guests)) {
    test(`${name} guest resumes`, async (t) => {
      const { db, conn } = guests[name](host.take())
      await db.open()
      const writes = keys.map(key => db.put(key, 'value of ' + key))
      conn.lose()
      await Promise.all(writes)

      const reads = keys.map(key => db.get(key))
      conn.lose()
      t.same((await Promise.all(reads)).map(String), keys.map(key => 'value of ' + key), 'gets')

      t.same(await walk(db.iterator(), conn), keys, 'walk')
      t.same(await walk(db.iterator({ gte: 'k100', lt: 'k150', limit: 40 }), conn), keys.slice(200, 240), 'walk of a range')

      // Guests of multileveldown resume a walk in reverse with the range of one
      // that goes forward, whatever the host does.
      if (name === 'many-level') {
        const reversed = keys.slice().reverse()
        t.same(await walk(db.iterator({ reverse: true }), conn), reversed, 'walk in reverse')
        t.same(await walk(db.iterator({ reverse: true, limit: 33 }), conn), reversed.slice(0, 33), 'limited walk in reverse')
      }
      conn.end()
    })
  }
})
