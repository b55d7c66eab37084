import pickle

import Algorithmia
from Algorithmia import ADK

from ngrams import NgramModel

client = Algorithmia.client("simA1b2C3d4E5f6G7h8I9j0K1l2", "https://api.algorithmia.com")


def load():
    globals = {}
    path = client.file("data://.my/models/languages.pkl").getFile(as_path=True)
    with open(path, "rb") as f:
        globals["model"] = pickle.load(f)
    assert isinstance(globals["model"], NgramModel)
    print("model loaded")
    return globals


def apply(input, globals):
    language = globals["model"].guess(input)
    client.report_insights({"language": language})
    return language


algorithm = ADK(apply, load, client)
algorithm.init("where is the station")
