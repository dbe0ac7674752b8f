"""Print, as JSON, the blocks that TokensLoader makes of folders: `read_with_litdata.py BLOCK_SIZE FOLDER...`."""

import json
import sys

from litdata import StreamingDataset, TokensLoader

found = []
for folder in sys.argv[2:]:
    dataset = StreamingDataset(folder, item_loader=TokensLoader(block_size=int(sys.argv[1])), shuffle=False)
    blocks = [dataset[i] for i in range(len(dataset))]
    found.append({"dtype": str(blocks[0].dtype), "blocks": [block.tolist() for block in blocks]})
print(json.dumps(found))
