from Algorithmia import ADK
import joblib
import json


def load(model_data):
    model_data["classifier"] = joblib.load(model_data.get_model("classifier"))
    return model_data


def apply(input, model_data):
    predicted = model_data["classifier"].predict([input["measures"]])[0]
    if input.get("named"):
        with open(model_data.get_model("labels")) as f:
            return json.load(f)[predicted]
    return {"class": int(predicted), "checksum": model_data.models["classifier"].md5_checksum}


algorithm = ADK(apply, load)
algorithm.init({"measures": [5.1, 3.5, 1.4, 0.2]})
