"""Grain, clouds and fields of direction: what painted styles are made of. Planes are float32, 0..1 unless said."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane


def clouds(shape: tuple[int, int], rng: np.random.Generator, *, size: float, octaves: int = 4) -> Plane:
    """Smooth noise whose largest blobs are about `size` pixels wide."""
    height, width = shape
    total = np.zeros(shape, dtype=np.float32)
    weight, spread = 1.0, 0.0
    for octave in range(octaves):
        cell = max(2.0, size / 2**octave)
        rows, columns = math.ceil(height / cell) + 3, math.ceil(width / cell) + 3
        coarse = rng.random((rows, columns), dtype=np.float32)
        fine = cv2.resize(coarse, (round(columns * cell), round(rows * cell)), interpolation=cv2.INTER_CUBIC)
        top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
        total += weight * fine[top : top + height, left : left + width]
        spread += weight
        weight /= 2
    return np.asarray(np.clip(total / spread, 0, 1), dtype=np.float32)


def paper(shape: tuple[int, int], rng: np.random.Generator, *, size: float) -> Plane:
    """The relief of rough paper around 0, standard deviation 1."""
    fine = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), max(0.6, size))
    grain = fine + 0.6 * cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), max(1.2, 2.5 * size))
    return np.asarray((grain - grain.mean()) / (grain.std() + 1e-6), dtype=np.float32)


def hatching(shape: tuple[int, int], rng: np.random.Generator, *, angle: float, length: int) -> Plane:
    """Noise drawn out along `angle` (radians), flattened so that a fraction t of the pixels lies below t."""
    kernel = np.zeros((length, length), dtype=np.uint8)
    middle = (length - 1) / 2
    along = np.array([math.cos(angle), math.sin(angle)]) * middle
    start, end = np.rint(middle - along).astype(int), np.rint(middle + along).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 255, 1, cv2.LINE_AA)
    weights = kernel.astype(np.float32) / max(1.0, float(kernel.sum()))
    drawn = cv2.filter2D(rng.standard_normal(shape, dtype=np.float32), -1, weights)
    return _flattened(drawn)


def flow(lightness: Plane, *, sigma: float) -> Plane:
    """The angle (radians) along the edges near each pixel: the smoothed structure tensor's smaller eigenvector."""
    across = cv2.Sobel(lightness, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(lightness, cv2.CV_32F, 0, 1)
    horizontal = cv2.GaussianBlur(across * across, (0, 0), sigma)
    vertical = cv2.GaussianBlur(down * down, (0, 0), sigma)
    mixed = cv2.GaussianBlur(across * down, (0, 0), sigma)
    return np.asarray(0.5 * np.arctan2(2 * mixed, horizontal - vertical) + np.pi / 2, dtype=np.float32)


def along_flow(noise: Plane, angle: Plane, *, steps: int) -> Plane:
    """`noise` smeared along a field of angles, `steps` pixels each way (line integral convolution)."""
    right, below = np.cos(angle), np.sin(angle)
    rows, columns = np.mgrid[0 : noise.shape[0], 0 : noise.shape[1]].astype(np.float32)
    total = noise.copy()
    for way in (1.0, -1.0):
        x, y = columns.copy(), rows.copy()
        step_x, step_y = way * right, way * below
        for _ in range(steps):
            x += step_x
            y += step_y
            total += cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return _flattened(total)


def _flattened(values: Plane) -> Plane:
    """Normal noise to uniform 0..1, by its rank on a normal distribution (logistic approximation)."""
    score = (values - values.mean()) / (values.std() + 1e-6)
    return np.asarray(1 / (1 + np.exp(-1.702 * score)), dtype=np.float32)
