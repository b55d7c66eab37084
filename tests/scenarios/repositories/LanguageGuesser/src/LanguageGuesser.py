import pickle

import Algorithmia
from Algorithmia import ADK

from ngrams import NgramModel

client = Algorithmia.client()


def load():
    globals = {}
    path = client.file("data://.my/models/languages.pkl").getFile(as_path=True)
    with open(path, "rb") as f:
        globals["model"] = pickle.load(f)
    assert isinstance(globals["model"], NgramModel)
    print("model loaded")
    return globals


def apply(input, globals):
    return globals["model"].guess(input)


algorithm = ADK(apply, load, client)
algorithm.init("where is the station")
