// typage as a command that looks like age: node age.mjs -d -i KEYS FILE > PLAIN
//
// Exit 1, with typage's own words, for a file that it does not open.

import { readFileSync, writeSync } from "node:fs";
import { Decrypter } from "age-encryption";

const [decrypt, option, keys, file] = process.argv.slice(2);
if (decrypt !== "-d" || option !== "-i" || !file) {
  console.error("usage: age.mjs -d -i KEYS FILE");
  process.exit(2);
}
const decrypter = new Decrypter();
for (const line of readFileSync(keys, "utf8").split("\n")) {
  if (line && !line.startsWith("#")) decrypter.addIdentity(line);
}
try {
  const plain = await decrypter.decrypt(readFileSync(file));
  for (let at = 0; at < plain.length; ) at += writeSync(1, plain, at);
} catch (error) {
  console.error(`${file}: ${error.message}`);
  process.exit(1);
}
