"""Arrays like the weights in the layouts of the kernels.

A layout is a tuple: whether classes are the outer axis, the length of its rows, where the intercepts begin, the size
of the array, whether the rows of data come in batches of products, and whether they are sparse.
"""

import numpy as np

from .. import parallel


def flat(theta, layout, padding=0.0):
    """Return an array (d + 1, K) in a layout, with this number in places that are not used."""
    by_class, ld, intercept, size, *_ = layout
    d, K = theta.shape[0] - 1, theta.shape[1]
    array = parallel.zeros(size, theta.dtype)
    if padding:
        array[:] = padding
    if by_class:
        array[:intercept].reshape(K, ld)[:, :d] = theta[:-1].T
    else:
        array[:intercept].reshape(d, ld)[:, :K] = theta[:-1]
    array[intercept : intercept + K] = theta[-1]
    return array


def unflat(array, layout, shape, scale=1.0):
    """Return an array of this shape, (d + 1, K), from a layout, with the features multiplied by a scale."""
    by_class, ld, intercept, *_ = layout
    d, K = shape[0] - 1, shape[1]
    theta = np.empty(shape, array.dtype)
    features = array[:intercept].reshape((K, ld) if by_class else (d, ld))
    features = features[:, :d].T if by_class else features[:, :K]
    if scale == 1.0:
        theta[:-1] = features
    else:
        np.multiply(features, array.dtype.type(scale), out=theta[:-1])
    theta[-1] = array[intercept : intercept + K]
    return theta
