"""Gradient boosting with XGBoost: is a tumour malignant?"""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import autotrack

autotrack.enable()

X, y = load_breast_cancer(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, random_state=0)
train, valid = xgboost.DMatrix(X_train, y_train), xgboost.DMatrix(X_valid, y_valid)

for learning_rate in (0.05, 0.3):
    booster = xgboost.train(
        {"objective": "binary:logistic", "eval_metric": ["auc", "logloss"], "learning_rate": learning_rate},
        train,
        num_boost_round=200,
        evals=[(train, "train"), (valid, "valid")],
        early_stopping_rounds=10,
        verbose_eval=False,
    )
    rounds = booster.best_iteration
    print(f"learning rate {learning_rate:<14} logloss {booster.best_score:.4f} after {rounds} rounds")
