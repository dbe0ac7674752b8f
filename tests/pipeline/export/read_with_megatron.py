"""Print, as JSON, the sequences of IndexedDataset prefixes: `read_with_megatron.py PREFIX...`."""

import json
import sys

from megatron.core.datasets.indexed_dataset import IndexedDataset

found = []
for prefix in sys.argv[1:]:
    dataset = IndexedDataset(prefix)
    sequences = [dataset[i] for i in range(len(dataset))]
    found.append(
        {
            "dtype": str(sequences[0].dtype),
            "sequences": [sequence.tolist() for sequence in sequences],
            "document_indices": dataset.document_indices.tolist(),
            "all": [part.tolist() for part in dataset[0 : len(dataset)]] == [s.tolist() for s in sequences],
        }
    )
print(json.dumps(found))
