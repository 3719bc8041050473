"""What the source looks like: short argument lists inside, so that values that belong together travel together."""

import ast
from pathlib import Path

import fastxent

MOST_PARAMETERS = 8
SOURCE = Path(fastxent.__file__).parent

# Signatures that people call, and the reference's, which are the same by design.
PUBLIC = {
    "estimators/logistic_path.py": {"logistic_path"},
    "estimators/logistic_regression.py": {"LogisticRegression.__init__"},
    "estimators/logistic_regression_cv.py": {"LogisticRegressionCV.__init__"},
    "estimators/sgd_classifier.py": {"SGDClassifier.__init__"},
    "functional.py": {
        "linear_cross_entropy",
        "linear_cross_entropy_and_grad",
        "linear_cross_entropy_hessp",
    },
    "sources/parquet.py": {"ParquetSource.__init__"},
    "sources/svmlight.py": {"SvmlightSource.__init__"},
    "reference.py": {
        "linear_cross_entropy",
        "linear_cross_entropy_and_grad",
        "linear_cross_entropy_hessp",
    },
}


def functions(source):
    """Yield the qualified name and the number of parameters of each function; self and cls do not count."""

    def visit(node, names):
        for child in ast.iter_child_nodes(node):
            inner = names
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [*names, child.name]
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                arguments = child.args
                named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                own = named[1:] if named and named[0].arg in ("self", "cls") else named
                count = len(own) + (arguments.vararg is not None) + (arguments.kwarg is not None)
                yield ".".join(inner), count
            yield from visit(child, inner)

    yield from visit(ast.parse(source), [])


def test_parameters_are_counted():
    source = """
class A:
    def f(self, a, /, b, *c, d, **e):
        return lambda x, y: x
"""
    assert list(functions(source)) == [("A.f", 5), ("A.f", 2)]


def test_no_internal_function_has_more_than_eight_parameters():
    long = {}
    for path in sorted(SOURCE.rglob("*.py")):
        names = {name for name, count in functions(path.read_text()) if count > MOST_PARAMETERS}
        if names:
            long[path.relative_to(SOURCE).as_posix()] = names
    assert long == PUBLIC
