'use strict'

// Databases for test suites, each in a directory of its own with the sockets
// of rave-level and level-party in it.
//
// The databases belong to a host. It is either a command, which reads
// "open <dir>" and "close <dir>" from its standard input and answers each line
// with "done <dir>" once the sockets accept, or are gone; or, without a
// command, the npm packages' own hosts in this process, to tell what an npm
// guest cannot do with any host.

const { spawn } = require('child_process')
const fs = require('fs')
const net = require('net')
const os = require('os')
const path = require('path')
const readline = require('readline')

const READY = 48 // databases opened ahead, because a suite's factory cannot wait
const ENOUGH = 16 // databases one test may want
const KEPT = 32 // databases left open behind, because it does not say when it is done

// start resolves with an object of
//   take()   the directory of an open, empty database
//   ready()  null if there are enough for any test, else a promise of that
//   stop()   ends the host, and resolves when its exit was clean
exports.start = async function (command) {
  const host = command.length > 0 ? commandHost(command) : npmHost()
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'party-interop-'))
  const ready = []
  const used = []
  let made = 0
  let stopping = false
  const busy = new Set()

  const open = async () => {
    const dir = path.join(root, String(made++))
    fs.mkdirSync(dir)
    await host.open(dir)
    ready.push(dir)
  }
  const later = (promise) => {
    busy.add(promise)
    promise.finally(() => busy.delete(promise))
  }

  for (let i = 0; i < READY; i++) await open()

  return {
    take () {
      const dir = ready.shift()
      if (dir === undefined) throw new Error('the host is behind')
      used.push(dir)
      if (!stopping) later(open())
      if (used.length > KEPT) later(host.close(used.shift()))
      return dir
    },
    ready () {
      return ready.length >= ENOUGH ? null : Promise.all(busy)
    },
    async stop () {
      stopping = true
      await Promise.all(busy)
      await host.stop()
      fs.rmSync(root, { recursive: true, force: true })
    }
  }
}

function commandHost ([file, ...args]) {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = new Map()
  const exited = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      code === 0 ? resolve() : reject(new Error(`host ended with ${signal || code}`))
    })
  })
  exited.catch((err) => {
    for (const { reject } of waiting.values()) reject(err)
  })
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    const dir = line.replace(/^done /, '')
    const waiter = waiting.get(dir)
    waiting.delete(dir)
    if (waiter) waiter.resolve()
    else console.error(`host: ${line}`)
  })
  const ask = (verb) => (dir) => new Promise((resolve, reject) => {
    waiting.set(dir, { resolve, reject })
    child.stdin.write(`${verb} ${dir}\n`)
  })
  return {
    open: ask('open'),
    close: ask('close'),
    stop () {
      child.stdin.end()
      return exited
    }
  }
}

exports.npmHost = npmHost

function npmHost () {
  const { ClassicLevel } = require('classic-level')
  const { ManyLevelHost } = require('many-level')
  const multileveldown = require('multileveldown')
  const level = require('level')
  const opened = new Map()

  const listen = (file, stream) => new Promise((resolve, reject) => {
    const sockets = new Set()
    const server = net.createServer((socket) => {
      const remote = stream()
      sockets.add(socket)
      socket.on('close', () => { sockets.delete(socket); remote.destroy() })
      socket.on('error', () => {})
      remote.on('error', () => {})
      socket.pipe(remote).pipe(socket)
    })
    server.on('error', reject)
    server.listen(file, () => resolve(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    }))
  })

  return {
    async open (dir) {
      const many = new ClassicLevel(path.join(dir, 'many'))
      const multi = level(path.join(dir, 'multi'))
      await many.open()
      await multi.open()
      const host = new ManyLevelHost(many)
      const stops = [
        await listen(path.join(dir, 'rave-level.sock'), () => host.createRpcStream()),
        await listen(path.join(dir, 'level-party.sock'), () => multileveldown.server(multi))
      ]
      opened.set(dir, async () => {
        for (const stop of stops) stop()
        await many.close()
        await multi.close()
      })
    },
    async close (dir) {
      await opened.get(dir)()
      opened.delete(dir)
    },
    async stop () {
      for (const close of opened.values()) await close()
    }
  }
}

// run starts a host for the command in the arguments, hands it to declare,
// which declares tests with the tape it is given, and exits when they are
// done. Tests whose names are keys of skip are left out.
exports.run = async function (skip, declare) {
  const tape = require('tape')
  const host = await exports.start(process.argv.slice(2))
  const skipped = new Set()

  const test = (name, ...rest) => {
    if (name in skip) {
      skipped.add(name)
      tape.skip(`${name} (${skip[name]})`)
      return
    }
    const body = rest.pop()
    tape(name, ...rest, (t) => {
      const ready = host.ready()
      if (ready === null) return body(t)

      // A body that promises nothing says itself when it ends.
      return new Promise((resolve, reject) => {
        t.once('end', resolve)
        ready.then(() => {
          const result = body(t)
          if (result && typeof result.then === 'function') result.then(resolve, reject)
        }).catch(reject)
      })
    })
  }
  Object.assign(test, tape)

  let failed = false
  tape.onFailure(() => { failed = true })
  tape.onFinish(async () => {
    for (const name of Object.keys(skip)) {
      if (skipped.has(name)) continue
      console.error(`no test to skip is named: ${name}`)
      failed = true
    }
    try {
      await host.stop()
    } catch (err) {
      console.error(err)
      failed = true
    }
    process.exit(failed ? 1 : 0)
  })

  declare(test, host)
}
