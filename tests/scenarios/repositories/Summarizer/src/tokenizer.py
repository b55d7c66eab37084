import re


def split_sentences(text):
    return [s.strip() for s in re.findall(r'[^.!?]+[.!?]?', text) if s.strip()]


def split_words(sentence):
    return re.findall(r"[a-z']+", sentence.lower())
