/** Numbers from a seed (mulberry32). */
export function generator(seed) {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (n) => Math.floor(next() * n),
    pick: (array) => array[Math.floor(next() * array.length)],
  };
}

const TELLING_BYTES = [
  0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x20, 0x22, 0x2d, 0x30, 0x39, 0x3d, 0x5b, 0x5d, 0x7b, 0x7d,
];
const TELLING_WORDS = [
  0, 1, -1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000, 16384, 16385,
];
const TELLING_TEXTS = [
  '-1',
  '0',
  '1e9',
  '99999999999',
  'NaN',
  '1.5',
  '',
  '[',
  ']',
  '=',
  '\n',
  '\r\n',
  ',',
  'ÿ',
  '\0',
  '#',
];

/** One to several random changes: flips, telling values, cuts, repeats, exchanged and foreign pieces. */
export function mutate(random, bytes, corpus) {
  let data = Buffer.from(bytes);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(data.length + 1);
    const length = 1 + random.below(Math.min(64, data.length + 1));
    switch (random.below(11)) {
      case 0:
        if (at < data.length) data[at] ^= 1 << random.below(8);
        break;
      case 1:
        if (at < data.length) data[at] = random.pick(TELLING_BYTES);
        break;
      case 2:
        if (at + 4 <= data.length) data.writeInt32LE(random.pick(TELLING_WORDS) | 0, at);
        break;
      case 3:
        if (at + 2 <= data.length) data.writeUInt16BE(random.pick(TELLING_WORDS) & 0xffff, at);
        break;
      case 4:
        data = Buffer.concat([data.subarray(0, at), data.subarray(at + length)]);
        break;
      case 5:
        data = Buffer.concat([data.subarray(0, at), data.subarray(at, at + length), data.subarray(at)]);
        break;
      case 6:
        data = data.subarray(0, at);
        break;
      case 7: {
        const other = random.pick(corpus);
        data = Buffer.concat([data.subarray(0, at), other.subarray(random.below(other.length + 1))]);
        break;
      }
      case 8: {
        const other = random.pick(corpus);
        const from = random.below(other.length + 1);
        data = Buffer.concat([data.subarray(0, at), other.subarray(from, from + length), data.subarray(at)]);
        break;
      }
      case 9:
        data = Buffer.concat([
          data.subarray(0, at),
          Buffer.from(random.pick(TELLING_TEXTS)),
          data.subarray(at),
        ]);
        break;
      default: {
        // a number in a text becomes another
        const text = data.toString('latin1');
        const numbers = [...text.matchAll(/-?\d+(\.\d+)?/g)];
        if (numbers.length === 0) break;
        const { 0: found, index } = random.pick(numbers);
        const value = random.pick([
          '0',
          '-1',
          '1',
          '2',
          '65536',
          '2147483648',
          '1e400',
          String(random.below(1000)),
        ]);
        data = Buffer.from(text.slice(0, index) + value + text.slice(index + found.length), 'latin1');
      }
    }
  }
  return data.subarray(0, 1 << 20);
}
