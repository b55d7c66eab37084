"""Says whether a sentence of a movie review is kind. Input: a text, or a list of texts."""

import pickle

import slipway

classifier = None


def load():
    global classifier
    with open(slipway.model("movie_review_sentiment.pickle"), "rb") as file:
        classifier = pickle.load(file)


def apply(input):
    texts = input if isinstance(input, list) else [input]
    verdicts = [
        {"sentiment": "positive" if score >= 0.5 else "negative", "confidence": round(float(max(score, 1 - score)), 4)}
        for score in classifier.predict_proba(texts)[:, 1]
    ]
    return verdicts if isinstance(input, list) else verdicts[0]
