// Prints the digests of the sessions of a WebAssembly module: node run.mjs MODULE SUITES SEED...
import { readFile } from "node:fs/promises";

const [path, suites, ...seeds] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(await readFile(path), {});
const half = (seed, suite, upper) => BigInt.asUintN(64, instance.exports.sodality_session(BigInt(seed), suite, upper));
const hex = (number) => number.toString(16).padStart(16, "0");
for (const seed of seeds) {
    for (let suite = 0; suite < Number(suites); suite++) {
        console.log(`seed ${seed} suite ${suite}: ${hex(half(seed, suite, 1))}${hex(half(seed, suite, 0))}`);
    }
}
