from . import Summarizer


def test_Summarizer():
    assert Summarizer.apply("The cat sat. The cat is on the mat with a cat.") == "The cat sat."
