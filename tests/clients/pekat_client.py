"""What pekat-vision-sdk sees, as JSON; runs in an environment with that SDK alone.

pekat_client.py PORT IMAGE OTHER_PORT API_KEY FOLDER: two servers, one without a key and one with;
a folder with a PEKAT installation whose program starts a server.
"""

import inspect
import json
import sys

import numpy as np
import PekatVisionSDK as sdk

PORT, IMAGE, SECURED, API_KEY, FOLDER = sys.argv[1:]
OLD = "api_key" in inspect.signature(sdk.Instance).parameters
KINDS = ("annotated_image", "heatmap") if OLD else ("image", "annotated_image", "heatmap")


def parts(result):
    """Return picture (array or None) and context of either generation's answer."""
    if OLD:
        return result if isinstance(result, tuple) else (None, result)
    picture = None if result.image_bytes is None else result.get_decoded_image()
    return picture, result.context


def told(result):
    picture, context = parts(result)
    shape = None if picture is None else list(picture.shape)
    mean = None if picture is None else float(picture.mean())
    return {"context": context, "shape": shape, "mean": mean}


def connect(port, **options):
    return sdk.Instance(host="127.0.0.1", port=int(port), already_running=True, **options)


def main():
    import cv2  # noqa: PLC0415

    seen = {"version": OLD or str(connect(PORT).server_version), "ping": None}
    pixels = cv2.imread(IMAGE)
    for place in (True, False):
        client = connect(PORT, context_in_body=place)
        seen[f"file {place}"] = told(client.analyze(IMAGE, data="lot-7"))
        seen[f"array {place}"] = told(client.analyze(pixels))
        seen[f"grey {place}"] = told(client.analyze(np.ascontiguousarray(pixels[..., 0])))
        for kind in KINDS:
            seen[f"{kind} {place}"] = told(client.analyze(IMAGE, kind))
            seen[f"{kind} array {place}"] = told(client.analyze(pixels, kind))
        if not OLD:
            with open(IMAGE, "rb") as file:
                seen[f"bytes {place}"] = told(client.analyze(file.read()))
            seen[f"random {place}"] = told(client.send_random((30, 40, 3), "annotated_image"))
    seen["ping"] = OLD or client.ping().status_code
    if OLD:
        with_key, without = connect(SECURED, api_key=API_KEY), connect(SECURED)
        seen["key"] = told(with_key.analyze(IMAGE))
        seen["no key"] = told(without.analyze(IMAGE))
    own = sdk.Instance(project_path=FOLDER + "/project", dist_path=FOLDER + "/dist")
    seen["started"] = told(own.analyze(IMAGE))
    own.stop()
    seen["stopped"] = own.process.wait(60)
    print(json.dumps(seen))


main()
