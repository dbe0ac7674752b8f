"""Print, as JSON, every sample of MDS folders: `read_with_streaming.py FOLDER...`, run by .readers' Python.

`import streaming` brings in its datasets for pictures and models, and with them torchvision and transformers, whose
wheels want CUDA or clash with ours. Reading MDS needs none of it: those modules stay empty here.
"""

import json
import sys
import types

for name in ("streaming.multimodal", "streaming.text", "streaming.vision", "transformers"):
    sys.modules[name] = types.ModuleType(name)
for name, type_ in (("feature_extraction_utils", "BatchFeature"), ("tokenization_utils_base", "BatchEncoding")):
    module = types.ModuleType(f"transformers.{name}")
    setattr(module, type_, type(type_, (), {}))
    sys.modules[f"transformers.{name}"] = module

from streaming import StreamingDataset  # noqa: E402


def plain(value):
    return value.tolist() if hasattr(value, "tolist") else value


found = []
for folder in sys.argv[1:]:
    dataset = StreamingDataset(local=folder, shuffle=False, batch_size=1)
    types_ = {key: str(getattr(value, "dtype", type(value).__name__)) for key, value in dataset[0].items()}
    samples = [{key: plain(value) for key, value in dataset[i].items()} for i in range(len(dataset))]
    found.append({"types": types_, "samples": samples})
print(json.dumps(found))
