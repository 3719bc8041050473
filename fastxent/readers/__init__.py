"""Rows from files in the usual formats, as batches of ``(X, y, weight)`` in the files' order.

    stream.py     bytes of a file or of standard input, unpacked; blocks of whole lines
    svmlight.py   label column:value column:value ...
    text.py       label<TAB>text, or fastText's __label__x text
    delimited.py  CSV and TSV
    parquet.py    Parquet
    npz.py        NumPy's archives, those of scipy.sparse.save_npz among them
    formats.py    which of them reads a file, by its suffix

Each holds one batch at a time, except npz.py. What a file has wrong is a `DataError` that says where.
"""
