// What a Node server does that treats each watcher by itself: a callback and a JSON.stringify a watcher and event, and a
// look at the generation's state every two seconds for each watcher that waits. The look is a stub, so that the
// comparison needs no driver and no database: a real one costs more. Nothing is logged.
//
//	node --experimental-websocket server.mjs ws://127.0.0.1:8188/ws?clientId=bench
//
// It prints the address of its stream, and ends with the socket.
import http from 'node:http'

const callbacks = new Set()
const state = { status: 'generating' }

const look = () => new Promise(resolve => setImmediate(resolve, state.status))

const server = http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  const send = event => response.write(`data: ${JSON.stringify(event)}\n\n`)
  const poll = setInterval(async () => {
    if (await look() === 'complete') finish({ type: 'complete', percentage: 100 })
  }, 2000)
  const finish = event => {
    send(event)
    leave()
    response.end()
  }
  const onProgress = event => event.type === 'complete' ? finish(event) : send(event)
  const leave = () => {
    clearInterval(poll)
    callbacks.delete(onProgress)
  }
  callbacks.add(onProgress)
  request.on('close', leave)
  send({ type: 'connected' })
})

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const socket = new WebSocket(process.argv[2])
  socket.onopen = () => console.log(`http://127.0.0.1:${server.address().port}/events`)
  socket.onclose = () => process.exit()
  socket.onmessage = message => {
    if (typeof message.data !== 'string') return
    const { type, data } = JSON.parse(message.data)
    let event
    if (type === 'progress') {
      const { value, max } = data
      event = {
        type: 'progress', currentStep: value, totalSteps: max, percentage: Math.floor(100 * value / max), status: `Step ${value} of ${max}`,
        phase: 'inference', overall: Math.floor(90 * value / max), etaSeconds: max - value, queuePosition: 0, imageIndex: 1, totalImages: 1, node: '3',
      }
    } else if (type === 'execution_success') {
      state.status = 'complete'
      event = { type: 'complete', percentage: 100 }
    } else return
    for (const callback of [...callbacks]) callback(event)
  }
})
