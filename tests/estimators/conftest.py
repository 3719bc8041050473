"""What scikit-learn's own tests expect of the pytest configuration they run under."""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "thread_unsafe: scikit-learn's mark for tests not to be run in several threads"
    )
