# The Python workload: dictionaries, strings, sorting, regular expressions, JSON, objects, floats, big integers. Prints a checksum.
import json
import re


class Particle:
    def __init__(self, x, v):
        self.x, self.v = x, v

    def step(self, dt):
        self.x += self.v * dt
        self.v -= self.x * dt
        return self.x


def words():
    seed, counts = 1, {}
    for _ in range(6000):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        word = "w%03x" % (seed >> 19)
        counts[word] = counts.get(word, 0) + 1
    return counts


def primes(limit):
    sieve = bytearray([1]) * limit
    for i in range(2, int(limit ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, limit, i)))
    return sum(sieve) - 2


def main():
    counts = words()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    text = json.dumps({"ranked": ranked[:800], "n": len(counts)})
    back = json.loads(text)
    numbers = sum(int(n) for n in re.findall(r"\b(\d+)\b", text))
    replaced = re.sub(r"w([0-9a-f])([0-9a-f]{2})", r"\2-\1", text)
    ball = Particle(1.0, 0.5)
    orbit = sum(ball.step(0.001) for _ in range(12000))
    big = pow(3, 4001) % (10 ** 50 + 7)
    print("python", back["n"], numbers, len(replaced), sum(map(ord, replaced)), primes(40000), "%.6f" % orbit, big % 1000003)


main()
