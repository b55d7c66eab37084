from __future__ import print_function, unicode_literals

from six import string_types
from six.moves import zip

from Algorithmia.errors import AlgorithmException

from .tokenizer import split_sentences, split_words
from src.stopwords import STOPWORDS
import scoring


def apply(input):
    """
    input: a string, or {"text": string, "sentences": number}
    """
    count = 1
    if isinstance(input, dict):
        if 'text' not in input:
            raise AlgorithmException("Please provide the 'text' field", error_type='InputError')
        count = input.get('sentences', 1)
        input = input['text']
    if not isinstance(input, string_types):
        raise TypeError('Invalid input type, expected a string')
    sentences = split_sentences(input)
    words = [[w for w in split_words(s) if w not in STOPWORDS] for s in sentences]
    scores = scoring.score_all(words)
    print('scored %d sentences' % len(sentences))
    best = sorted(zip(scores, range(len(sentences))), key=lambda pair: (-pair[0], pair[1]))[:count]
    chosen = [sentences[i] for _, i in sorted(best, key=lambda pair: pair[1])]
    if count == 1:
        return ' '.join(chosen)
    return {'summary': chosen, 'sentences': len(sentences)}
