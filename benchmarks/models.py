"""The models that are measured: logistic regressions on the iris data, saved with joblib, read in `load()`."""

from __future__ import annotations

import hashlib
import io

import joblib
import numpy
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.testing import Platform

ROW = "[5.1,3.5,1.4,0.2]"
REQUIREMENTS = f"joblib=={joblib.__version__}\nnumpy=={numpy.__version__}\nscikit-learn=={sklearn.__version__}\n"
_SOURCE = """
import os

import joblib


def load():
    return joblib.load(os.path.join(os.environ["SLIPWAY_MODELS"], "classifier"))


def apply(input, model):
    return int(model.predict([input])[0])
"""
_DIRECTORY = "models"


def trained(first_class: int) -> bytes:
    """A model in joblib's form, whose answer to ROW is `first_class`."""
    rows, classes = load_iris(return_X_y=True)
    saved = io.BytesIO()
    joblib.dump(LogisticRegression(max_iter=1000).fit(rows, classes + first_class), saved)
    return saved.getvalue()


def expected(first_class: int) -> str:
    """What the reply to ROW holds."""
    return f'"result":{first_class},'


def deploy(platform: Platform, owner: str, name: str, key: str, first_class: int, scaling: str) -> None:
    """Upload a model, deploy and publish an algorithm that is served with it. `scaling` is the manifest's section."""
    model = trained(first_class)
    platform.request("PUT", f"/v1/data/{owner}/{_DIRECTORY}/{name}", key, content=model)
    section = f'source = "data://{owner}/{_DIRECTORY}/{name}"\nsha256 = "{hashlib.sha256(model).hexdigest()}"'
    sections = {"models.classifier": section, "scaling": scaling}
    platform.deploy(owner, name, key, _SOURCE, REQUIREMENTS, **sections)
    platform.publish(owner, name, key, "public")


def owner(platform: Platform, name: str) -> str:
    """An account with a directory for models; its key."""
    key = platform.account(name)
    platform.request("POST", f"/v1/data/{name}", key, json={"name": _DIRECTORY})
    return key
