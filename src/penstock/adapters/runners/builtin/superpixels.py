"""Superpixels: a photograph as a few hundred patches of one colour each, with what is near what.

Simple linear iterative clustering: every pixel goes to the most alike of the nine grid cells around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane

PATCHES = 350
COMPACTNESS = 14.0
ROUNDS = 6
_BORDER_PIXELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """The patches of one picture. `labels` is height × width; everything else has one row per patch."""

    labels: Plane
    area: Plane
    colour: Plane
    place: Plane
    """Centre as (y, x), each as a fraction of the picture's height and width."""
    spot: Plane
    """Centre as (y, x) in units of the longer side: distances are the same in both directions."""
    adjacent: Plane
    on_border: Plane
    on_upper_border: Plane
    """Touching the top, left or right border. The bottom is left out: subjects stand on it."""

    def mean(self, plane: Plane) -> Plane:
        """The mean of a height × width plane over each patch."""
        sums = np.bincount(self.labels.ravel(), plane.ravel(), minlength=len(self.area))
        return sums / self.area

    def spread(self, values: Plane) -> Plane:
        """A height × width plane that has each patch's value at its pixels."""
        return values[self.labels].astype(np.float32)


def find_patches(lab: Plane) -> Patches:
    """Divide a Lab picture (height × width × 3, float32; at most ~500 pixels a side, for speed) into `Patches`."""
    height, width = lab.shape[:2]
    labels = _cluster(lab)
    flat = labels.ravel()
    count = int(flat.max()) + 1
    area = np.bincount(flat, minlength=count).astype(np.float64)
    rows, columns = np.mgrid[0:height, 0:width]
    centre = np.column_stack([_sums(flat, plane, count) / area for plane in (rows, columns)])
    edge = _BORDER_PIXELS
    upper = np.zeros((height, width), dtype=bool)
    upper[:edge] = upper[:, :edge] = upper[:, -edge:] = True
    border = upper.copy()
    border[-edge:] = True
    # The bottom corners belong to left and right, but a subject that fills the bottom edge reaches them.
    upper[-max(edge, height // 8) :] = False
    return Patches(
        labels=labels,
        area=area,
        colour=np.column_stack([_sums(flat, lab[..., channel], count) / area for channel in range(3)]),
        place=centre / (height, width),
        spot=centre / max(height, width),
        adjacent=_adjacency(labels, count),
        on_border=np.bincount(flat[border.ravel()], minlength=count) > 0,
        on_upper_border=np.bincount(flat[upper.ravel()], minlength=count) > 0,
    )


def _cluster(lab: Plane) -> Plane:
    height, width = lab.shape[:2]
    step = max(4.0, (height * width / PATCHES) ** 0.5)
    grid_height, grid_width = max(2, round(height / step)), max(2, round(width / step))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    cell_row = np.minimum((rows * grid_height / height).astype(np.int32), grid_height - 1)
    cell_column = np.minimum((columns * grid_width / width).astype(np.int32), grid_width - 1)
    labels = (cell_row * grid_width + cell_column).ravel()
    weight = COMPACTNESS / step
    features = np.dstack([lab, rows * weight, columns * weight]).reshape(-1, 5).astype(np.float32)
    cells = grid_height * grid_width
    neighbours = [
        (
            np.clip(cell_row + down, 0, grid_height - 1) * grid_width + np.clip(cell_column + right, 0, grid_width - 1)
        ).ravel()
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    for _ in range(ROUNDS):
        members = np.bincount(labels, minlength=cells)
        sums = np.column_stack([_sums(labels, features[:, axis], cells) for axis in range(5)])
        centres = (sums / np.maximum(members, 1)[:, None]).astype(np.float32)
        best = np.full(labels.shape, np.inf, dtype=np.float32)
        labels = labels.copy()
        for candidate in neighbours:
            distance = ((features - centres[candidate]) ** 2).sum(axis=1)
            distance[members[candidate] == 0] = np.inf
            closer = distance < best
            best[closer] = distance[closer]
            labels[closer] = candidate[closer]
    _, dense = np.unique(labels, return_inverse=True)
    return dense.reshape(height, width)


def _adjacency(labels: Plane, count: int) -> Plane:
    adjacent = np.zeros((count, count), dtype=bool)
    for one, other in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        adjacent[one.ravel(), other.ravel()] = True
    adjacent |= adjacent.T
    np.fill_diagonal(adjacent, val=False)
    return adjacent


def _sums(labels: Plane, plane: Plane, count: int) -> Plane:
    return np.bincount(labels, plane.ravel(), minlength=count)
