"""A library with one model, whose coefficients are all that it is."""

import random


class Linear:
    def __init__(self, coefficients):
        self.coefficients = list(coefficients)

    def predict(self, rows):
        return [sum(a * b for a, b in zip(self.coefficients, row, strict=True)) for row in rows]

    def shift(self):
        self.coefficients = [value + 1 for value in self.coefficients]


def draw():
    return random.random()
