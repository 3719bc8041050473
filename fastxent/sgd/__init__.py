"""Stochastic and minibatch descent: jitted loops that call the kernels row by row. Numba is imported here only.

clock       what penalties and step sizes do to a parameter that no row touches
schedules   step size by number of the update
updates     sgd, momentum, adagrad, adam ... on a stretch of parameters
loops       an epoch, or a piece of one, in one call
trainer     the state of a training: begin, take rows in some order, look at the weights
bridge      the kernels as functions that jitted code can call; the only file that knows llvmlite
compile     the one decorator of everything jitted
"""
