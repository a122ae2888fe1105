// What typage, an age implementation that we did not write, makes of our files.
//
//   node open.mjs open KEYS IN OUT [IN OUT ...]        KEYS: a file with AGE-SECRET-KEY lines
//   node open.mjs unlock PASSPHRASES IN OUT ...        PASSPHRASES: a file, one on each line
//   node open.mjs seal RECIPIENTS IN OUT ...           RECIPIENTS: a file with age1 lines
//   node open.mjs lock PASSPHRASE IN OUT ...           PASSPHRASE: a file, on its first line
//
// Exit 1, with typage's own words, for the first file that it does not take.

import { webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Decrypter, Encrypter } from "age-encryption";

globalThis.crypto ??= webcrypto; // Debian 12's node does not bring it by itself

const [order, keys, ...names] = process.argv.slice(2);
const lines = readFileSync(keys, "utf8")
  .split("\n")
  .filter((line) => line && !line.startsWith("#"));

function opener() {
  const decrypter = new Decrypter();
  for (const line of lines) {
    if (order === "unlock") decrypter.addPassphrase(line);
    else decrypter.addIdentity(line);
  }
  return (data) => decrypter.decrypt(data);
}

function sealer() {
  const encrypter = new Encrypter();
  if (order === "lock") {
    encrypter.setPassphrase(lines[0]);
    encrypter.setScryptWorkFactor(12);
  } else {
    for (const line of lines) encrypter.addRecipient(line);
  }
  return (data) => encrypter.encrypt(data);
}

const turn = order === "open" || order === "unlock" ? opener() : sealer();
for (let at = 0; at < names.length; at += 2) {
  try {
    writeFileSync(names[at + 1], await turn(readFileSync(names[at])));
  } catch (error) {
    console.error(`${names[at]}: ${error.message}`);
    process.exit(1);
  }
}
