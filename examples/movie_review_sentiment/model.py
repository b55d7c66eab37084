"""Tells whether a sentence from a movie review is positive or negative."""

import joblib

import slipway

SAMPLE_INPUT = "A gorgeous, witty, seductive movie."

classifier = None


def load():
    """Read the trained classifier, once for each worker."""
    global classifier
    classifier = joblib.load(slipway.model("movie_review_sentiment.joblib"))


def apply(input):
    """Answer one sentence, or a list of them: `{"sentiment": "positive", "probability": 0.93}`."""
    sentences = input if isinstance(input, list) else [input]
    answers = [answer(positive) for positive in classifier.predict_proba(sentences)[:, 1]]
    return answers if isinstance(input, list) else answers[0]


def answer(positive):
    """The likelier of the two, and how likely it is."""
    return {
        "sentiment": "positive" if positive >= 0.5 else "negative",
        "probability": round(float(max(positive, 1 - positive)), 3),
    }
