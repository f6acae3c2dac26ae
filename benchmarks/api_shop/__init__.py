"""One small API, written once with each framework that :mod:`benchmarks.api` compares, as its documentation does.

``POST /order`` takes an order with five lines, checks it, and answers with its total; ``GET /books`` answers with a
hundred books and their authors. Types are checked both ways where the framework does so.
"""
