"""ONNX: skl2onnx learns to convert the estimators, alone and as steps of a pipeline.

The graph computes in double precision whatever the type of its input, and rounds probabilities to that type at the end:
the weights are those of the model, and the large logits of features that were not scaled keep their digits.

    input -> Cast -> Gemm -> logits -+-> ArgMax -> Gather of the labels          label
                                     +-> Softmax (or nothing) -> Cast            probabilities (or raw scores)

Two classes have one logit z, and the columns (-z/2, z/2), whose softmax is its sigmoid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from .typing import Array


_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
_INT64 = np.iinfo(np.int64)


def register() -> None:
    """Make skl2onnx convert LogisticRegression, LogisticRegressionCV and SGDClassifier.

    Call it once, before ``skl2onnx.to_onnx`` or ``skl2onnx.convert_sklearn``; calling it again does no harm. The
    options of these are those of scikit-learn's linear classifiers: ``zipmap``, ``nocl``, ``output_class_labels`` and
    ``raw_scores``. Labels must be strings, or whole numbers within 64 bits; bools become 0 and 1, as usual in skl2onnx.

    Raises
    ------
    ImportError
        skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> import fastxent.onnx
    >>> from fastxent import LogisticRegression
    >>> fastxent.onnx.register()
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = LogisticRegression().fit(X, ["no", "no", "yes", "yes"])
    >>> graph = skl2onnx.to_onnx(model, X, options={"zipmap": False})
    >>> [output.name for output in graph.graph.output]
    ['label', 'probabilities']
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            f"fastxent.onnx needs skl2onnx, which could not be imported ({error}): pip install 'fastxent[onnx]'"
        ) from error

    from fastxent.estimators.logistic_regression import LogisticRegression
    from fastxent.estimators.logistic_regression_cv import LogisticRegressionCV
    from fastxent.estimators.sgd_classifier import SGDClassifier

    for estimator in (LogisticRegression, LogisticRegressionCV, SGDClassifier):
        update_registered_converter(
            estimator,
            f"Fastxent{estimator.__name__}",
            _infer_types,
            _convert,
            options=_OPTIONS,
        )


def _infer_types(operator: Any) -> None:
    """Types and shapes as of scikit-learn's classifiers; but what a ZipMap takes in is float32, by its definition."""
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    probabilities = operator.outputs[1]
    for other in operator.scope_inst.operators.values():
        if other.type == "SklearnZipMap" and any(taken is probabilities for taken in other.inputs):
            probabilities.set_type(FloatTensorType(probabilities.type.shape))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of one model to the graph."""
    from skl2onnx.common.data_types import guess_proto_type
    from skl2onnx.common.utils_classifier import get_label_classes
    from skl2onnx.proto import onnx_proto

    types = onnx_proto.TensorProto
    model = operator.raw_operator
    label, result = operator.outputs
    raw = container.get_options(model, {"raw_scores": False})["raw_scores"]
    predictor = model.predictor()  # has checked the coefficients
    labels, are_strings = _labels(get_label_classes(scope, model))

    def constant(values: Any, type: int) -> str:
        name = scope.get_unique_variable_name("constant")
        container.add_initializer(name, type, np.shape(values), np.ravel(values))
        return name

    def node(kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or scope.get_unique_variable_name(kind.lower())
        container.add_node(kind, inputs, name, name=scope.get_unique_operator_name(kind), **attributes)
        return name

    x = node("Cast", [operator.inputs[0].full_name], to=types.DOUBLE)
    coef = constant(predictor._coef.astype(np.float64), types.DOUBLE)
    intercept = constant(predictor._intercept.astype(np.float64), types.DOUBLE)
    scores = node("Gemm", [x, coef, intercept], transB=1)
    if len(predictor._coef) == 1:
        signs = np.array([[-1.0, 1.0]]) if raw else np.array([[-0.5, 0.5]])
        scores = node("Mul", [scores, constant(signs, types.DOUBLE)])
    best = node("ArgMax", [scores], axis=1, keepdims=0)
    labels = constant(labels, types.STRING if are_strings else types.INT64)
    node("Gather", [labels, best], label.full_name)
    if not raw:
        scores = node("Softmax", [scores], axis=1)
    node("Cast", [scores], result.full_name, to=guess_proto_type(result.type))


def _labels(classes: Array) -> tuple[list[bytes] | Array, bool]:
    """The labels as a tensor holds them, UTF-8 or int64, and whether they are strings."""
    classes = classes.tolist()
    if all(isinstance(label, str) for label in classes):
        return [label.encode() for label in classes], True
    for label in classes:
        whole = isinstance(label, (int, float)) and label // 1 == label  # infinity and NaN are not
        if not whole or not _INT64.min <= label <= _INT64.max:
            raise ValueError(
                f"classes_ holds {label!r}; labels in ONNX are strings, or whole numbers within 64 bits. "
                "Train with such, or convert with the option nocl=True, which numbers the classes 0, 1, 2, ..."
            )
    return np.array(classes, np.int64), False
