from collections import Counter


class NgramModel(object):
    """Counts of letter pairs by language."""

    def __init__(self, texts):
        self.counts = dict((language, Counter(pairs(text))) for language, text in texts.items())

    def guess(self, text):
        return max(sorted(self.counts), key=lambda language: sum(self.counts[language][p] for p in pairs(text)))


def pairs(text):
    return [text[i : i + 2] for i in range(len(text) - 1)]
