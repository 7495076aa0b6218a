// amqplib (Node): what a program does with it. Usage: amqplib.mjs URL
import amqp from 'amqplib';
import assert from 'node:assert/strict';

const connection = await amqp.connect(process.argv[2]);
connection.on('error', () => {});
const channel = await connection.createConfirmChannel();

// Publish, confirm, get, properties.
const { queue } = await channel.assertQueue('', { exclusive: true });
channel.sendToQueue(queue, Buffer.from('hello'), { persistent: true, headers: { n: 1, s: 'x', deep: { a: [1, 2] } }, type: 't' });
await channel.waitForConfirms();
const message = await channel.get(queue);
assert.equal(message.content.toString(), 'hello');
assert.deepEqual({ ...message.properties.headers }, { n: 1, s: 'x', deep: { a: [1, 2] } });
assert.equal(message.properties.type, 't');
channel.ack(message);
assert.equal(await channel.get(queue), false);

// A thousand confirms, in any order.
await channel.assertQueue('amqplib', { durable: true });
await Promise.all(Array.from({ length: 1000 }, (_, n) => new Promise((resolve, reject) =>
  channel.sendToQueue('amqplib', Buffer.from(String(n)), { persistent: true }, error => error ? reject(error) : resolve()))));

// Consume with prefetch, ack, nack.
await channel.prefetch(10);
const bodies = [];
await new Promise(async resolve => {
  const { consumerTag } = await channel.consume('amqplib', async delivery => {
    if (delivery.content.toString() === '7' && !delivery.fields.redelivered) return channel.nack(delivery);
    bodies.push(Number(delivery.content.toString()));
    channel.ack(delivery);
    if (bodies.length === 1000) {
      await channel.cancel(consumerTag);
      resolve();
    }
  });
});
assert.deepEqual([...new Set(bodies)].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, n) => n));

// Returned before it is confirmed.
const order = [];
channel.once('return', returned => order.push(returned.content.toString()));
await new Promise(resolve => channel.publish('', 'nowhere', Buffer.from('back'), { mandatory: true }, () => {
  order.push('confirmed');
  resolve();
}));
assert.deepEqual(order, ['back', 'confirmed']);

// Exchanges, topics.
await channel.assertExchange('amqplib-topic', 'topic', { durable: false, autoDelete: true });
await channel.bindQueue(queue, 'amqplib-topic', 'order.*');
channel.publish('amqplib-topic', 'order.paid', Buffer.from('routed'));
channel.publish('amqplib-topic', 'invoice', Buffer.from('lost'));
await channel.waitForConfirms();
assert.equal((await channel.get(queue, { noAck: true })).content.toString(), 'routed');
assert.equal(await channel.get(queue), false);

// An error ends its channel, with code and text; the connection goes on.
const doomed = await connection.createChannel();
const closed = new Promise(resolve => doomed.once('error', resolve));
await assert.rejects(doomed.checkQueue('missing'), /404|NOT_FOUND/);
assert.equal((await closed).code, 404);

// Request and reply.
const server = await connection.createChannel();
await server.assertQueue('amqplib-rpc');
await server.consume('amqplib-rpc', request => {
  if (request === null) return; // Its queue was deleted.
  server.sendToQueue(request.properties.replyTo, Buffer.from(request.content.toString().toUpperCase()),
    { correlationId: request.properties.correlationId });
}, { noAck: true });
const reply = new Promise(resolve => channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }));
await new Promise(resolve => setTimeout(resolve, 100));
channel.sendToQueue('amqplib-rpc', Buffer.from('ping'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'c' });
const answer = await reply;
assert.equal(answer.content.toString(), 'PING');
assert.equal(answer.properties.correlationId, 'c');

assert.equal((await channel.purgeQueue('amqplib')).messageCount, 0);
await channel.deleteQueue('amqplib');
await channel.deleteQueue('amqplib-rpc');
await connection.close();
console.log('amqplib: fine');
