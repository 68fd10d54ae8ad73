"""FID and KID: how far apart two sets of features lie.

FID is Fréchet's distance of two Gaussians (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017),
KID a squared maximum mean discrepancy (Bińkowski et al., "Demystifying MMD GANs", 2018). Both give what torch-fidelity
0.4.0 gives (metric_fid.py, metric_kid.py) and are computed otherwise: FID without a root of a matrix that has none,
KID with each kernel computed once for all subsets.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worker.media.frame import Floats

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]

SUBSETS = 100
SUBSET = 1000
"""Pictures of each side in a subset; all where there are fewer."""
SEED = 2020
"""Of the subsets: torch-fidelity's."""


def fid(first: Floats, second: Floats) -> float:
    """Fréchet's distance of the Gaussians through two sets of features, (n, d) and (m, d), n and m at least 2.

    |m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^½. With centred features A and B, C1 is A'A / (n-1): the eigenvalues
    of C1 C2 are the squared singular values of AB', and the last trace is their sum. Nothing is inverted and no root
    taken, so n may be less than d.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    shift = a.mean(axis=0) - b.mean(axis=0)
    a, b = (_factor(each - each.mean(axis=0)) for each in (a, b))
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.square(a).sum() + np.square(b).sum() - 2 * shared))


def _factor(centred: Matrix) -> Matrix:
    """R with R'R the covariance: the centred features over the root of n-1, or of many rows their QR's triangle."""
    n, d = centred.shape
    scaled: Matrix = centred / np.sqrt(n - 1)
    return scaled if n <= d else np.asarray(np.linalg.qr(scaled, mode="r"), np.float64)


def kid(first: Floats, second: Floats, paired: bool = False) -> tuple[float, float]:
    """The kernel distance of two sets of features, (n, d) and (m, d), each of at least 4, and its deviation.

    The value is the mean over SUBSETS random subsets of at most SUBSET rows of the unbiased estimate with the kernel
    (x·y / d + 1)³. The deviation is that of the subsets; where a subset is all there is, that of random halves, which
    is the standard error of the value.

    `paired`: row i of both belongs to the same frame (n = m). Such rows are not independent, and the usual estimate
    is too low by twice what a row is nearer to its partner than to others, over n. So the pairs are left out of the
    sum, as Gretton et al. have it ("A Kernel Two-Sample Test", 2012, eq. 4): it is 0 where both sets are the same.
    """
    n = min(len(first), len(second))
    size = min(n, SUBSET)
    estimates = _estimates(first, second, paired, size)
    spread = estimates if size < n else _estimates(first, second, paired, n // 2)
    return float(estimates.mean()), float(spread.std())


def _estimates(first: Floats, second: Floats, paired: bool, size: int) -> Matrix:
    """(SUBSETS,): the squared discrepancy of each subset of that size."""
    subsets = list(_subsets(len(first), len(second), paired, size))
    a, b = first.astype(np.float64), second.astype(np.float64)
    rows, columns = [each for each, _ in subsets], [each for _, each in subsets]
    own = _means(_kernel(a, a), rows, rows, True) + _means(_kernel(b, b), columns, columns, True)
    return own - 2 * _means(_kernel(a, b), rows, columns, paired)


def _subsets(n: int, m: int, paired: bool, size: int) -> Iterator[tuple[Indices, Indices]]:
    """Rows of both sides, drawn as torch-fidelity draws them; of pairs the same of both."""
    draw = np.random.RandomState(SEED)  # its sequence is promised for ever
    for _ in range(SUBSETS):
        rows = draw.choice(n, size, replace=False)
        yield rows, rows if paired else draw.choice(m, size, replace=False)


def _kernel(a: Matrix, b: Matrix) -> Matrix:
    """(n, m): every row of one against every row of the other."""
    product: Matrix = (a @ b.T) / a.shape[1] + 1
    return product * product * product


def _means(kernel: Matrix, rows: list[Indices], columns: list[Indices], without_pairs: bool) -> Matrix:
    """(SUBSETS,): the mean of the kernel over each subset, or over all of it but (i, i)."""
    return np.array([_mean(kernel[np.ix_(*both)], without_pairs) for both in zip(rows, columns, strict=True)])


def _mean(kernel: Matrix, without_pairs: bool) -> float:
    size = len(kernel)
    total = kernel.sum() - (np.trace(kernel) if without_pairs else 0.0)
    return float(total / (size * (size - 1 if without_pairs else size)))
