// What users do with npm's `algorithmia` 0.3.10: everything that it offers, one after the other.
// `node node_steps.js CLIENT_DIRECTORY`; address and key come from ALGORITHMIA_API and ALGORITHMIA_API_KEY.
const assert = require('assert');
const algorithmia = require(process.argv[2]);

const client = algorithmia.client(process.env.ALGORITHMIA_API_KEY);
const pipe = (method, input, name) => new Promise((done) => client.algo(name || 'jane/echo')[method](input).then(done));
const ask = (object, method, ...given) =>
  new Promise((done) => object[method](...given, (...answer) => done(answer)));

async function calls() {
  assert.deepStrictEqual((await pipe('pipe', { a: [1, null] })).get(), { a: [1, null] });
  assert.strictEqual((await pipe('pipe', 'grüß')).get(), 'grüß');
  assert.deepStrictEqual((await pipe('pipe', Buffer.from([0, 255]))).get(), Buffer.from([0, 255]));
  assert.deepStrictEqual((await pipe('pipeJson', '[1]')).get(), [1]);
  assert.throws(() => client.algo('jane/echo').pipeJson(7));
  assert.strictEqual((await pipe('pipe', { raise: 'no' })).error.message.includes('no'), true);
  assert.strictEqual((await pipe('pipe', 1, 'jane/nothing')).status, 404);
  const shared = await new Promise((done) => algorithmia.algo('jane/echo').pipe(7).then(done));
  assert.strictEqual(shared.get(), 7);
  const stranger = algorithmia('simWrong').algo('jane/echo');
  assert.strictEqual((await new Promise((done) => stranger.pipe(1).then(done))).status, 401);
}

async function files() {
  const dir = client.dir('data://jane/node');
  assert.strictEqual((await ask(dir, 'exists'))[0], false);
  assert.strictEqual((await ask(dir, 'create'))[1], 200);
  assert.strictEqual((await ask(dir, 'exists'))[0], true);
  assert.strictEqual(dir.basename(), 'node');
  assert.strictEqual(dir.parent().data_path, 'jane');
  const file = dir.file('text');
  assert.strictEqual((await ask(file, 'exists'))[0], false);
  assert.strictEqual((await ask(file, 'putString', 'grüß'))[0].result, 'data://jane/node/text');
  assert.strictEqual((await ask(file, 'exists'))[0], true);
  const [error, bytes] = await ask(file, 'get');
  assert.strictEqual(error, null);
  assert.strictEqual(bytes.toString(), 'grüß');
  assert.strictEqual((await ask(file, 'getString'))[0], 'grüß');
  await ask(file, 'putJson', '{"a":1}');
  assert.deepStrictEqual((await ask(file, 'getJson'))[0], { a: 1 });
  await ask(file, 'put', Buffer.from([1, 2]));
  assert.strictEqual((await ask(algorithmia.file('data://jane/node/text'), 'get'))[1].length, 2);
  await ask(dir, 'putFile', __filename);
  const names = (listed, method) => new Promise((done) => {
    const seen = [];
    listed[method]((err, item) => seen.push(item.basename())).then(() => done(seen.sort()));
  });
  // The client loses its place in a directory that holds both directories and files.
  const outer = client.dir('data://jane/nodes');
  await ask(outer, 'create');
  await ask(client.dir('data://jane/nodes/inner'), 'create');
  for (const method of ['forEach', 'forEachFile']) {
    assert.deepStrictEqual(await names(dir, method), ['node_steps.js', 'text']);
  }
  for (const method of ['forEach', 'forEachDir']) {
    assert.deepStrictEqual(await names(outer, method), ['inner']);
  }
  assert.ok(dir.iterator());
  assert.strictEqual((await ask(file, 'delete'))[0].result.deleted, 1);
  assert.ok((await ask(dir, 'delete', false))[0].error.message);
  assert.strictEqual((await ask(dir, 'delete', true))[0].result.deleted, 1);
}

calls().then(files).then(
  () => console.log('all of it'),
  (error) => { console.error(error); process.exit(1); },
);
