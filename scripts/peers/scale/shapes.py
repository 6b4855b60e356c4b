"""Random contours, and maps painted with them."""

import numpy as np
from PIL import Image, ImageDraw


def stream(seed: int, kind: int, index: int) -> np.random.Generator:
    """Random numbers of one image: the set does not depend on how many processes make it."""
    return np.random.default_rng([seed, kind, index])


def extent(rng: np.random.Generator) -> float:
    """Side of an object in pixels: COCO's shares of small, medium and large ones, log-uniform within each."""
    low, high = ((5, 32), (32, 96), (96, 400))[rng.choice(3, p=(0.41, 0.34, 0.25))]
    return float(low * (high / low) ** rng.random())


def outline(rng: np.random.Generator, centre: tuple[float, float], side: float, points: int) -> np.ndarray:
    """A closed contour [points, 2]: a turned ellipse whose radius is filtered noise, as jagged as annotated ones."""
    spectrum = np.zeros(points // 2 + 1, complex)
    waves = np.arange(2, min(10, len(spectrum)))
    spectrum[waves] = (rng.normal(size=len(waves)) + 1j * rng.normal(size=len(waves))) * 0.2 / waves
    radius = 1 + np.fft.irfft(spectrum, points) * points / 2 + rng.normal(0, 0.01, points)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    stretch = np.exp(rng.normal(0, 0.3))
    ellipse = np.clip(radius, 0.2, 2)[:, None] * np.stack([np.cos(angle) * stretch, np.sin(angle) / stretch], 1)
    turn = rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(centre) + ellipse @ rotation * side / 2


def seen(rng: np.random.Generator, contour: np.ndarray, error: float) -> np.ndarray:
    """The contour as a model finds it: moved, scaled and wavy by about `error` of its size."""
    centre = contour.mean(0)
    size = float(np.sqrt(max(np.prod(np.ptp(contour, axis=0)), 1.0)))
    angle = np.linspace(0, 2 * np.pi, len(contour), endpoint=False)
    wave = 1 + error * np.cos(rng.integers(2, 8) * angle + rng.uniform(0, 2 * np.pi))
    moved = centre + rng.normal(0, error * size, 2)
    return moved + (contour - centre) * (wave * np.exp(rng.normal(0, error)))[:, None] + rng.normal(0, 0.4, contour.shape)


def paint(width: int, height: int, ground: int, layers: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Contours filled one over the other, int32 [height, width]."""
    image = Image.new("I", (width, height), int(ground))
    draw = ImageDraw.Draw(image)
    for contour, label in layers:
        draw.polygon([tuple(point) for point in contour.round().tolist()], fill=int(label))
    return np.array(image, dtype=np.int32)
