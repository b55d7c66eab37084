from collections import Counter


class Scorer(object):
    def __init__(self, documents):
        self.counts = Counter(w for d in documents for w in d)

    def score(self, document):
        return sum(self.counts[w] for w in set(document))


def score_all(documents):
    scorer = Scorer(documents)
    return [scorer.score(d) for d in documents]
