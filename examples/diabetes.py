"""Regressions on the diabetes data: what does regularisation bring?"""

from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from xgboost import XGBRegressor

import autotrack

autotrack.enable()

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

for model in (
    Ridge(alpha=0.5),
    GridSearchCV(Lasso(), {"alpha": [0.01, 0.1, 1.0]}),
    RandomForestRegressor(n_estimators=50, oob_score=True, random_state=0),
    XGBRegressor(n_estimators=30, max_depth=3, learning_rate=0.1),
):
    model.fit(X_train, y_train)
    print(f"{type(model).__name__:28} R2 {model.score(X_test, y_test):.3f}")
