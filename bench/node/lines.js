'use strict'

// The child's side of ../child.go: it says that it is ready, and answers each
// line with what answer resolves with, as JSON. At the end of its input it
// calls end and exits.

const readline = require('readline')

exports.serve = (answer, end) => {
  const lines = readline.createInterface({ input: process.stdin })
  let busy = Promise.resolve()
  const fail = (err) => {
    console.error(err)
    process.exit(1)
  }
  lines.on('line', (line) => {
    busy = busy.then(async () => {
      process.stdout.write(JSON.stringify(await answer(line)) + '\n')
    }).catch(fail)
  })
  lines.on('close', () => {
    busy.then(end).then(() => process.exit(0)).catch(fail)
  })
  process.stdout.write('ready\n')
}
