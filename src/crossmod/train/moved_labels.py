"""Label maps of many classes, rotated and scaled: the class that covers most of each voxel.

Moving one mask for each of 24 classes took half of a training step. All of them together need only the labels of the
voxels around a point (eight in space, four in a plane) and their weights in linear interpolation.
"""

from itertools import combinations, product

import torch


def moved_labels(label: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The class with the largest share at each point, where every class is interpolated linearly by itself.

    Of two classes with the same share the larger value stays, and any class before the background.

    Args:
        label: (X, Y, Z) or (X, Y) classes, 0 to 255; beyond its edge it goes on as at its edge.
        points: (D, ...) where, in voxels of the label from its first one.

    Returns:
        (...) classes as int64.
    """
    labels, weights = _around(label, points)
    moved = labels[0].long()
    mixed = (labels != labels[0]).any(0)
    moved[mixed] = _largest(labels[:, mixed], weights[:, mixed])
    return moved


def _around(label: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(2^D, ...) labels of the voxels around each point, and their weights."""
    low, share = [], []
    for axis, side in enumerate(label.shape):
        place = points[axis].clamp(0, side - 1)
        first = place.floor().clamp(max=max(side - 2, 0))
        low.append(first.long())
        share.append(place - first)
    flat, labels, weights = label.to(torch.uint8).ravel(), [], []
    for corner in product((0, 1), repeat=label.ndim):
        index, weight = torch.zeros_like(low[0]), torch.ones_like(share[0])
        for axis, step in enumerate(corner):
            index = index * label.shape[axis] + (low[axis] + step).clamp(max=label.shape[axis] - 1)
            weight = weight * (share[axis] if step else 1 - share[axis])
        labels.append(flat[index])
        weights.append(weight)
    return torch.stack(labels), torch.stack(weights)


def _largest(labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(n,) label with the largest sum of weights, of (corners, n) labels and weights."""
    shares = weights.clone()
    for one, two in combinations(range(len(labels)), 2):
        same = labels[one] == labels[two]
        shares[one] += weights[two] * same
        shares[two] += weights[one] * same
    best, most = labels[0], shares[0]
    for value, share in zip(labels[1:], shares[1:], strict=True):
        better = (share > most) | ((share == most) & (value > best))
        best, most = torch.where(better, value, best), torch.where(better, share, most)
    return best.long()
