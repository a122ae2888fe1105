// typage under the words of the age command, for `attune rehearse --stock-age "node .../age.mjs"`:
//
//   node age.mjs -d -i KEYS FILE >OUT

import { webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Decrypter } from "age-encryption";

globalThis.crypto ??= webcrypto; // Debian 12's node does not bring it by itself

const [decrypt, identity, keys, file, ...more] = process.argv.slice(2);
if (decrypt !== "-d" || identity !== "-i" || !file || more.length) {
  console.error("usage: age.mjs -d -i KEYS FILE");
  process.exit(2);
}
const decrypter = new Decrypter();
for (const line of readFileSync(keys, "utf8").split("\n")) {
  if (line.startsWith("AGE-SECRET-KEY-")) decrypter.addIdentity(line.trim());
}
try {
  writeFileSync(1, await decrypter.decrypt(readFileSync(file)));
} catch (error) {
  console.error(`age: ${error.message}`);
  process.exit(1);
}
