"""Makes aet-learn/tests/agreement/sklearn.json: nearest neighbours and logistic regression by scikit-learn.

usage: sklearn_fixture.py [--out aet-learn/tests/agreement/sklearn.json]

200 rows of 8 features in 4 overlapping classes, of unequal scale and far from the origin, and 60 rows to judge.
Features are rounded to f32 first, so that both sides see the same numbers.
"""
import argparse, json, pathlib
import numpy, sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--out", default=pathlib.Path(__file__).parent.parent / "aet-learn/tests/agreement/sklearn.json")
arguments = parser.parse_args()
rng = numpy.random.default_rng(7)
centres = rng.normal(size=(4, 8))
scale, offset = 10.0 ** rng.uniform(-2, 2, 8), rng.normal(size=8) * 3


def rows(count):
    labels = rng.integers(0, 4, count)
    values = ((centres[labels] + rng.normal(size=(count, 8)) + offset) * scale).astype(numpy.float32)
    return values, labels


(train, train_labels), (test, test_labels) = rows(200), rows(60)
# Features for the search are of one scale: otherwise all rows point the same way.
searched, queries = (((rows / scale) - offset).astype(numpy.float32) for rows in (train, test))
search = NearestNeighbors(n_neighbors=12, metric="cosine", algorithm="brute").fit(searched.astype(numpy.float64))
distances, neighbours = search.kneighbors(queries.astype(numpy.float64))


def regression(c, classes):
    keep, judged = train_labels < classes, test_labels < classes
    scaler = StandardScaler().fit(train[keep].astype(numpy.float64))
    model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(scaler.transform(train[keep].astype(numpy.float64)), train_labels[keep])
    return {
        "c": c, "classes": classes,
        "coefficients": model.coef_.tolist(), "intercepts": model.intercept_.tolist(),
        "predictions": model.predict(scaler.transform(test[judged].astype(numpy.float64))).tolist(),
    }


facts = {
    "scikit_learn": sklearn.__version__,
    "train": [float(value) for value in train.ravel()], "train_labels": train_labels.tolist(),
    "test": [float(value) for value in test.ravel()], "test_labels": test_labels.tolist(),
    "searched": [float(value) for value in searched.ravel()], "queries": [float(value) for value in queries.ravel()],
    "neighbours": neighbours.tolist(), "similarities": numpy.round(1 - distances, 9).tolist(),
    "regressions": [regression(1.0, 4), regression(0.01, 4), regression(100.0, 3), regression(1.0, 2)],
}
pathlib.Path(arguments.out).write_text(json.dumps(facts) + "\n")
