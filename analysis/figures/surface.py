"""A surface between points on two logarithmic axes."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.chart import Numbers, Surface

_STEPS = 121  # along each axis


def surface_of(points: Sequence[tuple[float, float]], values: Sequence[float]) -> Surface | None:
    """Values that are linear between neighbouring points of log10, NaN outside of their hull.

    Args:
        points: At least 3, above 0.
        values: Of each.
    Returns:
        None where the points lie on one line.
    """
    from scipy.spatial import ConvexHull, Delaunay, QhullError

    places = np.log10(points)
    try:
        triangles = Delaunay(places)
        corners = ConvexHull(places).vertices.tolist()
    except QhullError:
        return None
    x, y = (np.linspace(column.min(), column.max(), _STEPS) for column in places.T)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    found = triangles.find_simplex(grid)
    # As scipy.interpolate would: barycentric coordinates in the triangle that holds the place, NaN outside of all.
    transform = triangles.transform[found]
    first = np.einsum("...ij,...j->...i", transform[..., :2, :], grid - transform[..., 2, :])
    weights = np.concatenate([first, 1 - first.sum(axis=-1, keepdims=True)], axis=-1)
    of_corners = np.array(values)[triangles.simplices[found]]
    z = np.where(found >= 0, (weights * of_corners).sum(axis=-1), np.nan)
    return Surface(_powers(x), _powers(y), tuple(tuple(row) for row in z.tolist()), tuple(points[i] for i in corners))


def _powers(exponents: np.ndarray) -> Numbers:
    return tuple((10.0**exponents).tolist())
