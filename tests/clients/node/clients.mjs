// Drives the server through ioredis and node-redis, in the versions that this Node can run.
// Usage: node clients.mjs PORT. Prints one line per client; exit code 0: all as expected.
import assert from 'node:assert/strict';

const port = Number(process.argv[2]);
const isModern = Number(process.versions.node.split('.')[0]) >= 20;

const asMap = (reply) => {
  if (reply instanceof Map) return Object.fromEntries([...reply].map(([k, v]) => [String(k), v]));
  if (!Array.isArray(reply)) return reply;
  const map = {};
  for (let i = 0; i < reply.length; i += 2) map[String(reply[i])] = reply[i + 1];
  return map;
};

async function life(name, call) {
  const queue = `node.${name}`;
  const id = String(await call('PUSH', queue, 'welcome', '{"to":"ada"}', 'HEADER', 'trace', 'x'));
  const job = asMap((await call('PULL', queue, 'WAIT', '5s', 'AS', name))[0]);
  assert.equal(String(job.id), id);
  assert.equal(String(job.payload), '{"to":"ada"}');
  assert.equal(String(await call('ACK', id, String(job.token), 'RESULT', 'sent')), 'OK');
  const done = asMap(await call('JOB', id));
  assert.equal(String(done.state), 'succeeded');
  assert.equal(String(done.result), 'sent');
  await assert.rejects(call('ACK', id, String(job.token)), /STALE/);
  const ids = await Promise.all(Array.from({length: 1000}, (_, n) => call('PUSH', queue, 't', String(n))));
  assert.equal(new Set(ids.map(String)).size, 1000);
  assert.equal((await call('PULL', queue, 'COUNT', '2000')).length, 1000);
  assert.equal(await call('PULL', queue, 'WAIT', '10ms'), null);
  console.log(`${name}: ok`);
}

async function ioredis(module, options = {}) {
  const {Redis} = await import(module);
  const client = new Redis({port, host: '127.0.0.1', connectionName: 'test', db: 0, ...options});
  await life(module.replace('-', '.') + JSON.stringify(options).replace(/\W/g, ''), (...words) => client.call(...words));
  await client.quit();
}

async function nodeRedis(module, RESP) {
  const {createClient} = await import(module);
  const client = createClient({url: `redis://127.0.0.1:${port}`, RESP});
  client.on('error', (error) => { throw error; });
  await client.connect();
  await life(`${module.replace('-', '.')}.resp${RESP}`, (...words) => client.sendCommand(words));
  await client.close();
}

await ioredis('ioredis-5');
await nodeRedis('redis-5', 2);
await nodeRedis('redis-5', 3);
if (isModern) {
  await ioredis('ioredis');
  await nodeRedis('redis', 2);
  await nodeRedis('redis', 3);
} else {
  console.log('ioredis 6 and redis 6 need Node 20: left out');
}
