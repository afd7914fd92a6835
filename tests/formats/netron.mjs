// Prints what Netron shows of a .circle file, as JSON. Usage: node netron.mjs NETRON_FOLDER FILE
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, file] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(folder, name)).href);
const circle = await load('circle.js');
const flatbuffers = await load('flatbuffers.js');
const data = new Uint8Array(readFileSync(file));
const stream = {
    position: 0,
    length: data.length,
    seek(position) { this.position = position; },
    peek(length) { return data.subarray(this.position, this.position + length); },
    read(length) { this.position += length; return data.subarray(this.position - length, this.position); },
    stream() { return this; }
};
const types = { type: (name) => ({ name }), attribute: () => null };
const context = {
    identifier: file,
    stream,
    peek: (kind) => kind === 'flatbuffers.binary' ? flatbuffers.BinaryReader.open(data) : null,
    set(type, value) { this.type = type; this.value = value; return type; },
    require: (name) => load(`${name}.js`),
    metadata: () => types
};
const factory = new circle.ModelFactory();
if (!await factory.match(context)) {
    throw new Error('Netron does not know the file.');
}
const model = await factory.open(context);
const plain = (value) => typeof value === 'bigint' ? Number(value) : ArrayBuffer.isView(value) ? Array.from(value) : value;
const nodes = model.modules[0].nodes.map((node) => ({
    type: node.type.name,
    attributes: Object.fromEntries(node.attributes.map(({ name, value }) => [name, plain(value)])),
    inputs: node.inputs.flatMap(({ value }) => value.map((tensor) => tensor.name.split('\n')[0]))
}));
console.log(JSON.stringify({ format: model.format, nodes }));
