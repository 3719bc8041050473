"""The optimisers: their numbers, and what each of them stores. ``kernels/descent.pxi`` has their formulas."""

OPTIMIZERS = {
    "sgd": 0,
    "momentum": 1,
    "nesterov": 2,
    "adagrad": 3,
    "rmsprop": 4,
    "adam": 5,
    "adamw": 6,
    "ftrl": 7,
    "svrg": 8,
}
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW, FTRL, SVRG = range(9)

# What each optimiser stores, in one or two arrays like the weights. sgd needs its array only for L1. Of squares the
# root is stored. While adam and adamw run, the mean gradient is divided by it: along that weights move through a gap.
MEMORY = {
    SGD: ("paid",),
    MOMENTUM: ("gradient",),
    NESTEROV: ("gradient",),
    ADAGRAD: ("root",),
    RMSPROP: ("root",),
    ADAM: ("gradient", "root"),
    ADAMW: ("gradient", "root"),
    FTRL: ("sums", "root"),
    SVRG: ("weights", "gradient"),
}
