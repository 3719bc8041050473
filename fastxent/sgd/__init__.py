"""Stochastic and minibatch descent: jitted loops that call the kernels row by row. Only here Numba is imported.

schedules   step size by number of the update
updates     optimisers and penalties on a stretch of parameters
gaps        updates in which a feature has no gradient, all at once
loops       an epoch, or a piece of one, in one call
order       rows sorted by what they hold
trainer     the state of a training, and the way from arrays to the loops and back
descents    epochs as the estimators see them: by rows and minibatches, by all rows, SVRG, Hogwild
warmup      compile what people use most
bridge      the kernels as functions that jitted code can call; the only file that knows llvmlite
compile     the one decorator of everything jitted
"""
