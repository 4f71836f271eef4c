"""Three classifiers for handwritten digits."""

from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import autotrack

autotrack.enable()

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

for model in (
    make_pipeline(StandardScaler(), SVC(C=10)),
    MLPClassifier((64,), max_iter=60, early_stopping=True, random_state=0),
    GradientBoostingClassifier(n_estimators=20, max_depth=3, subsample=0.8, random_state=0),
):
    model.fit(X_train, y_train)
    print(f"{type(model).__name__:28} accuracy {model.score(X_test, y_test):.3f}")
