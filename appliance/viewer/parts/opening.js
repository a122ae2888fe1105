// Opens sealed files with a key file or words. Touches no document, keeps nothing.
import { armor, Decrypter } from "age-encryption";

const LARGEST_KEY = 64 * 1024;
const LARGEST_HEADER = 1024 * 1024;
const BEGINS = "age-encryption.org/";
const ARMOUR = "-----BEGIN AGE ENCRYPTED FILE-----";
const SECRET = /^AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]+$/;
const PASSED_ON = /\.(mp4|jpe?g)\.age$/i;
/** The sealed letter beside what was shared: until when, and what is in each file. */
export const ABOUT = "about.age";

/** Why something is not opened, in words that say how to mend it. */
export class Refusal extends Error {}

/** A chosen file as it is known before it is opened. */
export class Chosen {
  constructor(file, data, kinds) {
    Object.assign(this, { file, data, kinds });
    this.name = file.name;
    this.byWords = kinds.includes("scrypt");
  }

  /** Whether it may be a key file: in clear, or under a passphrase. */
  get isKey() {
    return this.kinds.length === 0 || (this.byWords && this.file.size <= LARGEST_KEY
      && !PASSED_ON.test(this.name) && this.name !== ABOUT);
  }

  stream() {
    return this.data ? new Blob([this.data]).stream() : this.file.stream();
  }
}

/** Look at a file's beginning. Raises Refusal for what is neither a sealed file nor a key file. */
export async function look(file) {
  let data = null;
  try {
    let text = await beginning(file);
    if (text.trimStart().startsWith(ARMOUR)) {
      data = unarmoured(await file.text(), file.name);
      text = await beginning(new Blob([data]));
    }
    if (text.startsWith(BEGINS)) return new Chosen(file, data, kindsIn(text, file.name));
    if (file.size <= LARGEST_KEY && secrets(await file.text()).length) {
      return new Chosen(file, null, []);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(`${file.name} could not be read. Copy it to this computer and choose it again.`);
  }
  throw new Refusal(`${file.name} is not a locked file and not a key file. Choose the files whose names end in .age.`);
}

async function beginning(blob) {
  const bytes = await blob.slice(0, LARGEST_HEADER).arrayBuffer();
  return new TextDecoder("latin1").decode(bytes);
}

function unarmoured(text, name) {
  try {
    return armor.decode(text);
  } catch {
    throw damaged(name);
  }
}

/** The kinds of key that open it, as its header names them. */
function kindsIn(text, name) {
  const header = text.split("\n--- ", 1)[0];
  const kinds = [...header.matchAll(/^-> ([!-~]+)/gm)].map((found) => found[1]);
  if (header === text || !kinds.length) throw damaged(name);
  return kinds;
}

function secrets(text) {
  return text.split(/\r?\n/).map((line) => line.trim()).filter((line) => SECRET.test(line));
}

function damaged(name) {
  return new Refusal(`${name} is damaged, or part of it is missing. Nothing of it is shown. Copy it again from where you got it.`);
}

/** What somebody types, as our kits write it first: small letters on a phone may come out large. */
function spellings(typed) {
  const usual = typed.normalize("NFC").split(/\s+/).filter(Boolean).join(" ");
  return [...new Set([usual, usual.toLowerCase(), typed])].filter(Boolean);
}

/** What opens: words, and the secret keys of key files. Nothing of it is kept elsewhere. */
export class Keys {
  #typed;
  #secrets = [];
  #right = "";

  constructor(typed) {
    this.#typed = typed;
  }

  /** Take a key file, in clear or under the words. Raises Refusal. */
  async add(chosen) {
    const text = chosen.byWords ? await this.#unlocked(chosen) : await chosen.file.text();
    const found = secrets(text);
    if (!found.length) throw new Refusal(`${chosen.name} holds no key that opens clips. Choose your own key file; its name ends in .key.`);
    for (const one of found) {
      try {
        new Decrypter().addIdentity(one);
      } catch {
        throw new Refusal(`The key in ${chosen.name} was altered or not copied whole. Use your other copy of it.`);
      }
    }
    this.#secrets.push(...found);
  }

  async #unlocked(chosen) {
    if (!this.#typed) throw new Refusal(`${chosen.name} has a passphrase. Type it, and press Open.`);
    return (await this.open(chosen)).text();
  }

  /** A sealed file in clear, as a blob in memory; only whole and unaltered. Raises Refusal. */
  async open(chosen, type = "") {
    const { name, byWords, kinds } = chosen;
    if (byWords && !this.#typed) throw new Refusal(`${name} opens with words. Type the words you wrote down, and press Open.`);
    if (!byWords && !this.#secrets.length) throw new Refusal(`${name} opens with a key file. Choose your key file too: select all files at once.`);
    if (!byWords && !kinds.some((kind) => kind === "X25519" || kind === "mlkem768x25519")) {
      throw new Refusal(`${name} is locked for a kind of key that this page does not know. Ask whoever sent it to share it with your card (.pub).`);
    }
    // Words that opened one file are tried first with the next: each try takes a second.
    const words = this.#right ? [this.#right] : spellings(this.#typed);
    for (const way of byWords ? words : [""]) {
      const decrypter = new Decrypter();
      if (byWords) decrypter.addPassphrase(way);
      else for (const one of this.#secrets) decrypter.addIdentity(one);
      const pieces = await opened(decrypter, chosen);
      if (!pieces) continue;
      if (byWords) this.#right = way;
      // From pieces, not from a stream: a browser may put what it streams into a file.
      const clear = new Blob(pieces, { type });
      for (const piece of pieces) piece.fill(0);
      return clear;
    }
    if (byWords) throw new Refusal(`These words do not open ${name}. Check each word and the spaces between them; large and small letters count.`);
    throw new Refusal(`${name} is locked for somebody else, or for another key of yours. Choose the key file that goes with the card you gave, or ask for it to be shared with you again.`);
  }
}

/** The pieces of a file in clear, or null if nothing here opens it. Raises Refusal. */
async function opened(decrypter, chosen) {
  const pieces = [];
  try {
    const reader = (await decrypter.decrypt(chosen.stream())).getReader();
    for (let one = await reader.read(); !one.done; one = await reader.read()) pieces.push(one.value);
  } catch (error) {
    for (const piece of pieces) piece.fill(0);
    if (/no identity matched/.test(error.message)) return null;
    if (/work factor/i.test(error.message)) {
      throw new Refusal(`${chosen.name} takes more work to open than this page can do. Ask whoever sent it for help.`);
    }
    throw damaged(chosen.name);
  }
  return pieces;
}
