"""Key words that nobody spoke: seeded maps of 49 frames by 10 cepstral coefficients, a stand-in for speech.

Every word is a row of phones, each a spectrum of 40 bands on the mel scale (three formants, or a band of
noise). A speaker shifts the formants and tilts the spectrum, phones have lengths of their own and glide into
each other, a word begins anywhere, coloured noise is added as power, and every band flickers as a short
spectrum does. The logarithm and a discrete cosine transform make 10 coefficients of it, as is usual for key
words (49 frames of 20 ms). Nothing of it was recorded: accuracies on it say nothing about speech.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

FRAMES, BANDS, COEFFICIENTS = 49, 40, 10
# Formants in Hz, or (middle, width) of a band of noise.
_VOICED = {
    "a": (800, 1300, 2500),
    "e": (500, 1900, 2500),
    "i": (300, 2300, 3000),
    "o": (500, 900, 2400),
    "u": (320, 800, 2300),
    "n": (280, 1500, 2600),
    "r": (400, 1200, 1600),
}
_NOISE = {"s": (5500, 1500), "f": (3500, 3000), "t": (4200, 1800), "k": (2000, 900)}
_SILENT = "-"
PHONES = (*_VOICED, *_NOISE, _SILENT)
WORDS = ("ies", "nou", "a-p", "daun", "left", "rait", "on", "o-f", "s-top", "gou")
_SPELLED = {"p": "k", "d": "t", "l": "r", "g": "k"}  # phones that this world has not
CLASSES = (*WORDS, "silence", "unknown")


def words(count: int, seed: int) -> tuple[Floats, Integers]:
    """Return maps [n, 1, 49, 10] and classes [n], as many of each class.

    Args:
        count: how many.
        seed: of all that is drawn; sets of different seeds share no sample.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(CLASSES))
    maps = np.stack([_cepstrum(_power(_spelled(label, random), random)) for label in labels])
    return maps[:, None].astype(np.float32), labels.astype(np.int64)


def _spelled(label: int, random: np.random.Generator) -> list[str]:
    if CLASSES[label] == "silence":
        return []
    if CLASSES[label] != "unknown":
        return [_SPELLED.get(letter, letter) for letter in WORDS[label]]
    known = {"".join(_SPELLED.get(letter, letter) for letter in word) for word in WORDS}
    while True:
        drawn = [str(each) for each in random.choice(PHONES, random.integers(2, 6))]
        if "".join(drawn) not in known:
            return drawn


def _power(phones: list[str], random: np.random.Generator) -> NDArray[np.float64]:
    """Return power [frames, bands] of a word in its noise."""
    tilt, steep = random.uniform(-1, 1), random.uniform(-1, 1)
    bands = np.linspace(-1, 1, BANDS)
    noise = np.exp(tilt * bands)[None, :] * np.exp(0.3 * random.standard_normal((FRAMES, 1)))
    power = np.zeros((FRAMES, BANDS))
    if phones:
        lengths = [random.uniform(0.6, 1.6) * (3 if each in (_SILENT, "t", "k") else 7) for each in phones]
        edges = np.concatenate([[0], np.cumsum(lengths)])
        begin = random.uniform(0, max(1.0, FRAMES - edges[-1]))
        voice = random.uniform(0.85, 1.2)
        for phone, first, last in zip(phones, edges, edges[1:], strict=False):
            at = _window(begin + first, begin + last, random.uniform(0.6, 1.6))
            power += at[:, None] * _spectrum(phone, voice, random)[None, :]
        power *= np.exp(steep * bands)[None, :]
        power *= 10 ** (random.uniform(-0.1, 2.0))  # 0 to 20 dB above the noise
    flicker = random.gamma(4, 1 / 4, (FRAMES, BANDS))
    return (power + noise) * flicker


def _window(first: float, last: float, soft: float) -> NDArray[np.float64]:
    frames = np.arange(FRAMES)
    return 1 / (1 + np.exp((first - frames) / soft)) / (1 + np.exp((frames - last) / soft))


def _spectrum(phone: str, voice: float, random: np.random.Generator) -> NDArray[np.float64]:
    if phone == _SILENT:
        return np.zeros(BANDS)
    if phone in _NOISE:
        middle, width = _NOISE[phone]
        middle *= random.normal(1, 0.06)
        return 0.5 * np.exp(-0.5 * np.square((_HERTZ - middle) / width))
    formants = [each * voice * random.normal(1, 0.06) for each in _VOICED[phone]]
    heights = (1.0, 0.6, 0.3)
    peaks = [
        height * np.exp(-0.5 * np.square((_mel(_HERTZ) - _mel(each)) / 110))
        for height, each in zip(heights, formants, strict=True)
    ]
    return np.sum(peaks, 0)


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))


_HERTZ = 700 * np.expm1(np.linspace(_mel(60), _mel(7600), BANDS) / 1127)
_COSINES = np.cos(np.pi / BANDS * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS)))


def _cepstrum(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coefficients [frames, 10], divided so that they are about one."""
    return np.log(power + 1e-3) @ _COSINES / 20
