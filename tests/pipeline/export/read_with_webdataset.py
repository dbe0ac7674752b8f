"""Print, as JSON, the samples of tar files: `read_with_webdataset.py PATTERN`, such as `folder/{00000..00003}.tar`."""

import json
import sys

import webdataset

samples = webdataset.WebDataset(sys.argv[1], shardshuffle=False).decode().to_tuple("__key__", "txt", "json")
print(json.dumps(list(samples)))
