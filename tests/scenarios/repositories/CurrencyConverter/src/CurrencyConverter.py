import Algorithmia
from Algorithmia.errors import AlgorithmException, ApiError, DataApiError

# API calls will begin at the apply() method, with the request body passed as 'input'
# For more details, see algorithmia.com/developers/algorithm-development/languages

client = Algorithmia.client()


def load():
    # Here you would optionally load a model or data file
    return client.file("data://jane/rates/rates.json").getJson()


rates = load()


def apply(input):
    if input["to"] not in rates:
        raise AlgorithmException("no rate for %s" % input["to"], error_type="InputError")
    amount = round(input["amount"] * rates[input["to"]], 2)

    archive = client.dir("data://.my/conversions")
    if not archive.exists():
        archive.create()
    name = "%s.json" % input["to"]
    existed = archive.file(name).exists()
    archive.file(name).putJson({"amount": amount})

    notes = client.file("data://jane/rates/notes.txt")
    try:
        client.file("data://jane/rates/missing.json").getFile()
        missing = None
    except DataApiError as e:
        missing = str(e)

    result = {
        "amount": amount,
        "replaced": existed,
        "archived": client.file("data://.my/conversions/" + name).getString(),
        "notes": notes.getBytes().decode("utf-8"),
        "path": open(notes.getFile().name).read() == notes.getString(),
        "missing": missing,
        "files": sorted(f.getName() for f in archive.files()),
    }
    if "describe" in input:
        response = client.algo("jane/Summarizer").set_options(timeout=60).pipe(input["describe"])
        result["summary"] = response.result
        result["content_type"] = response.metadata.content_type
    if "fail" in input:
        try:
            client.algo("algo://jane/Summarizer").pipe({"no": "text"})
        except ApiError as e:
            result["error"] = str(e)
    return result
