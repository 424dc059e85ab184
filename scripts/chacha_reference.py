"""The expected numbers of aet-data's random generator, made without its code.

ChaCha (D. J. Bernstein) with 8 rounds, 64-bit block counter, nonce 0; the key is (seed, epoch,
index, purpose), eight little-endian bytes each; numbers are 64 bits, low word first.
usage: chacha_reference.py
"""
import struct

MASK = 0xFFFFFFFF


def rotate(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & MASK


def quarter(s, a, b, c, d):
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[first] = (s[first] + s[second]) & MASK
        s[third] = rotate(s[third] ^ s[first], bits)


def block(key, counter):
    start = list(struct.unpack("<4I", b"expand 32-byte k"))
    start += list(struct.unpack("<8I", key)) + [counter & MASK, counter >> 32, 0, 0]
    s = list(start)
    for _ in range(4):
        for column in range(4):
            quarter(s, column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(s, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return [(x + y) & MASK for x, y in zip(s, start)]


def numbers(seed, epoch, index, purpose):
    key = struct.pack("<4Q", seed, epoch, index, purpose)
    counter = 0
    while True:
        words = block(key, counter)
        for low, high in zip(words[::2], words[1::2]):
            yield low | (high << 32)
        counter += 1


def permutation(source, count):
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = (next(source) * (last + 1)) >> 64
        order[last], order[other] = order[other], order[last]
    return order


AUGMENT, SHUFFLE = 1, 3
for name, key in (("augment", (7, 1, 42, AUGMENT)), ("shuffle", (2**64 - 1, 0, 0, SHUFFLE))):
    source = numbers(*key)
    print(name, key, [hex(next(source)) for _ in range(3)])
print("order", permutation(numbers(7, 0, 0, SHUFFLE), 10))
