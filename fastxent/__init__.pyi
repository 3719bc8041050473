# The public names, each of which fastxent/__init__.py loads at first use. Editors and type checkers read this file.

from . import functional as functional
from . import reference as reference
from . import sources as sources
from .checkpoint import Checkpoint as Checkpoint
from .display import LossCurveDisplay as LossCurveDisplay
from .estimators.logistic_path import logistic_path as logistic_path
from .estimators.logistic_regression import LogisticRegression as LogisticRegression
from .estimators.logistic_regression_cv import LogisticRegressionCV as LogisticRegressionCV
from .estimators.sgd_classifier import SGDClassifier as SGDClassifier
from .files import load as load
from .functional import cross_entropy as cross_entropy
from .functional import cross_entropy_and_grad as cross_entropy_and_grad
from .functional import linear_cross_entropy as linear_cross_entropy
from .functional import linear_cross_entropy_and_grad as linear_cross_entropy_and_grad
from .functional import linear_cross_entropy_hessp as linear_cross_entropy_hessp
from .functional import log_softmax as log_softmax
from .functional import logsumexp as logsumexp
from .functional import sigmoid as sigmoid
from .functional import softmax as softmax
from .threads import get_num_threads as get_num_threads
from .threads import set_num_threads as set_num_threads

__version__: str
__all__: list[str]
