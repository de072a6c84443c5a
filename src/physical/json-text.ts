/** Reads JSON (RFC 8259) into values that remember where they stand, so that an error can point at the very place. */
import type { RefuseLine } from './caret.ts';

/** Where a value begins. */
export interface JsonPlace {
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 0, in UTF-16 units. */
  readonly column: number;
}

/** A value without its place. */
type Bare =
  | { readonly kind: 'object'; readonly members: ReadonlyMap<string, JsonValue> }
  | { readonly kind: 'array'; readonly items: readonly JsonValue[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'null' };

/** A value. Of members that are named twice, the last one counts. */
export type JsonValue = JsonPlace & Bare;

/** Arrays and objects inside each other at most: the reader calls itself for each. */
const depthMax = 64;
/** Values at most, which bounds the memory that a hostile text can take: a listing of ten thousand namespaces has a tenth. */
const valuesMax = 1_000_000;

/** Reads from left to right; every refusal names the place where reading stopped. */
class JsonReader {
  readonly #text: string;
  readonly #refuse: RefuseLine;
  #at = 0;
  #line = 1;
  #lineStart = 0;
  #values = 0;

  constructor(text: string, refuse: RefuseLine) {
    this.#text = text;
    this.#refuse = refuse;
  }

  read(): JsonValue {
    this.#skipBlanks();
    const value = this.#value(0);
    if (this.#at < this.#text.length) this.#fail('expected the end behind the last bracket');
    return value;
  }

  #fail(problem: string): never {
    return this.#refuse(this.#line, this.#at - this.#lineStart, problem);
  }

  #skipBlanks(): void {
    for (; ; this.#at++) {
      const character = this.#text[this.#at];
      if (character === '\n') {
        this.#line++;
        this.#lineStart = this.#at + 1;
      } else if (character !== ' ' && character !== '\t' && character !== '\r') return;
    }
  }

  /** Takes a character and the blanks behind it, if it is the next one. */
  #maybe(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    this.#skipBlanks();
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #value(depth: number): JsonValue {
    if (depth > depthMax) this.#fail(`expected at most ${depthMax} brackets inside each other`);
    if (++this.#values > valuesMax) this.#fail(`expected at most ${valuesMax} values`);
    const place = { line: this.#line, column: this.#at - this.#lineStart };
    const value = this.#bare(depth);
    this.#skipBlanks();
    return { ...place, ...value };
  }

  #bare(depth: number): Bare {
    if (this.#maybe('{')) return { kind: 'object', members: this.#members(depth) };
    if (this.#maybe('[')) return { kind: 'array', items: this.#items(depth) };
    if (this.#text[this.#at] === '"') return { kind: 'string', value: this.#string() };
    const number = this.#match(/-?(?:0|[1-9]\d{0,400})(?:\.\d{1,400})?(?:e[+-]?\d{1,10})?/iy);
    if (number !== undefined) return { kind: 'number', value: Number(number) };
    const word = this.#match(/true|false|null/y);
    if (word === undefined) this.#fail('expected a value: {, [, a text in quotes, a number, true, false or null');
    return word === 'null' ? { kind: 'null' } : { kind: 'boolean', value: word === 'true' };
  }

  #string(): string {
    let end = this.#at + 1;
    // a backslash takes the character behind it along, so that an escaped quote ends nothing
    for (; this.#text[end] !== '"' && end < this.#text.length; end++) if (this.#text[end] === '\\') end++;
    try {
      const value: unknown = JSON.parse(this.#text.slice(this.#at, end + 1));
      this.#at = end + 1;
      return String(value);
    } catch {
      return this.#fail('expected a text in quotes, in one line and with no other escapes than those of JSON');
    }
  }

  #members(depth: number): Map<string, JsonValue> {
    const members = new Map<string, JsonValue>();
    if (this.#maybe('}')) return members;
    do {
      if (this.#text[this.#at] !== '"')
        this.#fail('expected the name of a member in quotes; none follows a comma before a }');
      const name = this.#string();
      this.#skipBlanks();
      if (!this.#maybe(':')) this.#fail('expected a colon behind the name of a member');
      members.set(name, this.#value(depth + 1));
    } while (this.#maybe(','));
    if (!this.#maybe('}')) this.#fail('expected a comma and the next member, or }');
    return members;
  }

  #items(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    if (this.#maybe(']')) return items;
    do items.push(this.#value(depth + 1));
    while (this.#maybe(','));
    if (!this.#maybe(']')) this.#fail('expected a comma and the next value, or ]');
    return items;
  }
}

/** Reads a text. @param refuse told where it is no JSON, and what was expected there. */
export function readJson(text: string, refuse: RefuseLine): JsonValue {
  return new JsonReader(text, refuse).read();
}
